internal import WatcherLink

/// What a replica's link tells its supervisor. Called on the links' thread: it must not block.
protocol ReplicaLinkObserver: AnyObject, Sendable {
    /// The settings that the watcher gets in Welcome, as JSON.
    var settings: [UInt8] { get }

    /// A watcher has shown the token that was expected, and its link is this observer's: before anything else of it. What
    /// its `task` says may be a reason to `end` it.
    func linkIsKnown(_ link: ReplicaLink)

    /// The handler is constructed.
    func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64)

    /// The handler could not be constructed.
    func linkFailed(_ failed: Failed, traceback: String)

    /// The link is gone; nothing comes after this.
    func linkEnded(_ link: ReplicaLink, reason: String)
}

extension ReplicaLinkObserver {
    func linkIsKnown(_ link: ReplicaLink) {}
}
