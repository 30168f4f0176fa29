import CPython
import WatcherLink

/// What a replica in a container does beside serving calls.
extension WatcherModule {
    /// `drain() -> bool`: what has come is finished, then the replica ends. False before it is Ready.
    static func drain() -> PythonObject? {
        guard let service = WatcherState.service else {
            WatcherState.mustDrain = WatcherState.isReady
            return PyBool_FromLong(WatcherState.isReady ? 1 : 0)
        }
        leave(service)
        return PyBool_FromLong(1)
    }

    /// The same; the gateway, which has not asked for it, is to send no more calls.
    static func leave(_ service: Service) {
        service.output.addControl(.leaving, flags: .optional, id: 0, head: [])
        service.output.sendControl(to: service.socket)
        service.inbox.withLock { service.inbox.drain() }
    }

    /// `keep_health_file() -> bool`: from now on there is one whenever the replica is ready; whether there can be.
    static func keepHealthFile() -> PythonObject? {
        PyBool_FromLong(HealthFile.keep() ? 1 : 0)
    }
}
