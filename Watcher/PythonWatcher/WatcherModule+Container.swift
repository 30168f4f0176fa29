import CPython

/// What a replica in a container does beside serving calls.
extension WatcherModule {
    /// `drain() -> bool`: what has come is finished, then the replica ends. False before it is Ready.
    static func drain() -> PythonObject? {
        guard let service = WatcherState.service else {
            WatcherState.mustDrain = WatcherState.isReady
            return PyBool_FromLong(WatcherState.isReady ? 1 : 0)
        }
        service.inbox.withLock { service.inbox.drain() }
        return PyBool_FromLong(1)
    }

    /// `keep_health_file() -> bool`: from now on there is one whenever the replica is ready; whether there can be.
    static func keepHealthFile() -> PythonObject? {
        PyBool_FromLong(HealthFile.keep() ? 1 : 0)
    }
}
