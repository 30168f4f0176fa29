/// Why the watcher cannot go on.
enum WatcherError: Error {
    /// A Python exception is set.
    case python
    /// The gateway cannot be reached, or went away before the function was ready.
    case unreachable(String)
    /// The gateway broke the link's protocol, or the handler broke the link by closing its descriptor.
    case link(String)
    /// The gateway has closed the link, or is gone.
    case ended
}
