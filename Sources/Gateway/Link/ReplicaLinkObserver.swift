internal import WatcherLink

/// What a replica's link tells its supervisor. Called on the links' thread: it must not block.
protocol ReplicaLinkObserver: AnyObject, Sendable {
    /// The settings that the watcher gets in Welcome, as JSON.
    var settings: [UInt8] { get }

    /// The handler is constructed.
    func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64)

    /// The handler could not be constructed.
    func linkFailed(_ failed: Failed, traceback: String)

    /// The link is gone; nothing comes after this.
    func linkEnded(_ link: ReplicaLink, reason: String)
}
