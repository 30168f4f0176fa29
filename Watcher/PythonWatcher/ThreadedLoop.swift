import CPython
import Glibc

/// Runs several calls at once, each on a thread of its own. The main thread reads the link, and runs the author's
/// signal handlers.
struct ThreadedLoop {
    /// How often the main thread looks whether a drain is done.
    private static let drainNanos: Int64 = 10_000_000

    let service: Service

    /// The main thread: until a drain is done.
    func read() throws(WatcherError) {
        let inbox = service.inbox
        inbox.withLock { inbox.state.pointee.hasThreads = true }
        var isDraining = false
        while true {
            let until = isDraining ? MonotonicClock.nowNanos() + Self.drainNanos : 0
            _ = try inbox.wait(isMain: true, untilNanos: until) {
                inbox.state.pointee.hasRaises || inbox.state.pointee.isDraining != isDraining
            }
            inbox.lock()
            isDraining = inbox.state.pointee.isDraining
            let isDrained =
                isDraining && inbox.state.pointee.calls.count == 0 && inbox.state.pointee.running.count == 0
            let hasRaises = inbox.state.pointee.hasRaises
            inbox.state.pointee.hasRaises = false
            inbox.unlock()
            if hasRaises { Cancellation.raiseInThreads() }
            if isDrained { return try service.output.flush(to: service.socket) }
        }
    }

    /// A thread that runs the handler: until a drain leaves nothing more to do.
    ///
    /// - Parameter index: which of them.
    func work(_ handler: PythonObject, index: Int) throws(WatcherError) {
        var runner = CallRunner(
            service: service, handler: handler, slot: WatcherState.slots + index, isMain: false)
        while try workOnce(&runner) {}
    }

    private func workOnce(_ runner: inout CallRunner) throws(WatcherError) -> Bool {
        let inbox = service.inbox
        runner.nowNanos = MonotonicClock.nowNanos()
        guard let request = try take(at: runner.nowNanos) else {
            try runner.flush()
            if WatcherState.hasPartialLine, inbox.withLock({ inbox.state.pointee.running.count == 0 }) {
                WatcherState.hasPartialLine = false
                service.runtime.flushPartialLines()
            }
            let isOver = inbox.withLock {
                (inbox.state.pointee.isDraining && inbox.state.pointee.calls.count == 0)
                    || inbox.state.pointee.failure != nil
            }
            if isOver { return false }
            inbox.waitForWork()
            return true
        }
        service.activity.wakeGuard()
        do throws(WatcherError) {
            try runner.run(request)
        } catch {
            inbox.release(request)
            throw error
        }
        if WatcherState.hasPartialLine { service.runtime.flushPartialLines(of: request.object) }
        let isMore = inbox.withLock {
            inbox.finish(request)
            return inbox.isReady
        }
        Py_DecRef(request.object)
        if !isMore || runner.isFlushDue { try runner.flush() }
        return true
    }

    private func take(at nowNanos: Int64) throws(WatcherError) -> UnsafeMutablePointer<RequestObject>? {
        service.inbox.lock()
        defer { service.inbox.unlock() }
        return try service.inbox.takeRequest(at: nowNanos)
    }
}
