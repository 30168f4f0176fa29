/// The bounds of one function's log.
package struct FunctionLogLimits: Sendable, Hashable {
    /// A longer line is cut, in bytes.
    package var lineBytes = 64 << 10
    /// A file is closed and renamed before it would grow beyond this, in bytes.
    package var fileBytes = 10_000_000
    /// The current file and those kept of earlier ones.
    package var files = 5
    /// What comes faster is dropped, in bytes a second.
    package var bytesPerSecond = 1 << 20
    /// What waits for the disk is dropped beyond this, in bytes.
    package var queueBytes = 1 << 20
    /// Lines that wait for a slow follower.
    package var followerLines = 256

    package init() {}
}
