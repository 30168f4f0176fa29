/// What a ``FrameGuard`` lets one connection do.
package struct FrameGuardLimits: Sendable, Equatable {
    /// Streams that a client may open before it has acknowledged our settings: only then the core holds it to the
    /// number of streams that they allow.
    package var unackedStreams = 100
    /// Streams that may be reset at once, and so many a second afterwards (CVE-2023-44487).
    package var resets = 500
    /// CONTINUATION frames of one header block (CVE-2024-27316).
    package var continuations = 16
    /// Bytes of one header block, as they are sent (CVE-2023-33953).
    package var headerBytes = 64 << 10
    /// DATA frames that carry next to nothing, at once; a tenth of them a second afterwards (CVE-2019-9518).
    package var emptyData = 100
    /// PING and PRIORITY frames at once, each kind by itself; a tenth of them a second afterwards. A tenth of them for
    /// SETTINGS, and a fiftieth of those a second; ten times as many small WINDOW_UPDATE frames (CVE-2019-9512, 9515).
    package var control = 1_000
    /// The largest message that the core is given, in bytes.
    package var messageBytes = Int(UInt32.max)

    package init() {}
}
