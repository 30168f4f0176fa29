/// Why the watcher cannot go on.
enum WatcherError: Error {
    /// A Python exception is set.
    case python
    /// The gateway cannot be reached, or went away before the function was ready.
    case unreachable(String)
    /// The gateway, or the handler meddling with descriptors, broke the link's protocol.
    case link(String)
    /// The gateway closed the link, or is gone.
    case ended
}
