/// Why a link cannot go on. Every case but the last names the frame.
package enum LinkError: Error, Equatable, CustomStringConvertible {
    /// A frame of a kind that this side does not know, without the flag `optional`.
    case unknownKind(UInt8)
    /// A frame that does not parse.
    case malformed(kind: UInt8, String)
    /// A body above the limit; lengths in bytes.
    case tooLong(kind: UInt8, length: Int, limit: Int)
    /// A known frame at a time when it must not come.
    case unexpected(FrameKind, String)
    /// The two sides share no version of the protocol.
    case version(String)

    package var description: String {
        switch self {
        case .unknownKind(let kind): "unknown frame \(kind)"
        case .malformed(let kind, let reason): "frame \(Self.name(kind)): \(reason)"
        case .tooLong(let kind, let length, let limit):
            "frame \(Self.name(kind)) has \(length) bytes, the limit is \(limit)"
        case .unexpected(let kind, let reason): "frame \(kind) \(reason)"
        case .version(let reason): reason
        }
    }

    private static func name(_ kind: UInt8) -> String {
        guard let known = FrameKind(rawValue: kind) else { return "\(kind)" }
        return "\(known)"
    }
}
