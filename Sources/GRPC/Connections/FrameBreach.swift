/// Which limit a client has broken, so that its connection is closed. Named as the limit is.
package enum FrameBreach: String, Sendable, CaseIterable {
    case unackedStreams = "h2-unacked-streams"
    case resets = "h2-resets"
    case continuations = "h2-continuations"
    case headerBytes = "h2-header-bytes"
    case emptyData = "h2-empty-data"
    case control = "h2-control"
    /// Its unfinished messages do not fit, and it cut them up so that they cannot be refused one by one.
    case inputBytes = "input-bytes"

    /// What was done, in words.
    package var description: String {
        switch self {
        case .unackedStreams:
            "more streams than it may open before it acknowledges the settings, or an early acknowledgement"
        case .resets: "too many streams reset"
        case .continuations: "a header block in too many frames, or one that is interrupted"
        case .headerBytes: "a header block of too many bytes"
        case .emptyData: "too many DATA frames that carry next to nothing"
        case .control: "too many PING, SETTINGS, PRIORITY or WINDOW_UPDATE frames"
        case .inputBytes: "unfinished messages of too many bytes"
        }
    }
}
