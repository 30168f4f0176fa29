import CPython
import WatcherLink

/// Functions for a replica in a container.
extension WatcherModule {
    /// `drain() -> bool`: the replica finishes the calls that have come, and then ends. False before it is ready.
    static func drain() -> PythonObject? {
        guard let serving = WatcherState.serving else {
            WatcherState.mustDrain = WatcherState.isReady
            return PyBool_FromLong(WatcherState.isReady ? 1 : 0)
        }
        leave(serving)
        return PyBool_FromLong(1)
    }

    /// Begins a drain that the gateway has not asked for, and tells the gateway to send no more calls.
    static func leave(_ serving: Serving) {
        serving.output.addControl(.leaving, flags: .optional, id: 0, head: [])
        serving.output.sendControl(to: serving.socket)
        serving.inbox.withLock { serving.inbox.drain() }
    }

    /// `keep_health_file() -> bool`: from now on a file exists while the replica is ready. Returns whether the file can
    /// be made.
    static func keepHealthFile() -> PythonObject? {
        PyBool_FromLong(HealthFile.keep() ? 1 : 0)
    }
}
