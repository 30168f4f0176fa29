import Glibc

/// A thread of the relay.
struct RelayThread {
    private final class Work {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }

    private var thread = pthread_t()

    /// Starts a thread. If that fails, the relay makes no link, and the task ends for want of a gateway.
    @discardableResult
    static func start(_ body: @escaping @Sendable () -> Void) -> RelayThread {
        var one = RelayThread()
        let work = Unmanaged.passRetained(Work(body))
        let code = pthread_create(
            &one.thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<Work>.fromOpaque(raw).takeRetainedValue().body()
                return nil
            }, work.toOpaque())
        if code != 0 { work.release() }
        return one
    }

    func join() {
        pthread_join(thread, nil)
    }
}
