import CPython
import Glibc

/// Runs several calls at once, each on its own thread. The main thread reads the link, and runs the author's signal
/// handlers.
struct ThreadedLoop {
    /// The pause between two checks of the main thread that a drain is done.
    private static let drainNanos: Int64 = 10_000_000

    let serving: Serving

    /// The work of the main thread, until a drain is done.
    func read() throws(WatcherError) {
        let inbox = serving.inbox
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
            if isDrained { return try serving.output.flush(to: serving.socket) }
        }
    }

    /// The work of a thread that runs the handler, until a drain leaves no more calls.
    ///
    /// - Parameter index: the thread's number.
    func work(_ handler: PythonObject, index: Int) throws(WatcherError) {
        var runner = CallRunner(
            serving: serving, handler: handler, slot: WatcherState.slots + index, isMain: false)
        while try workOnce(&runner) {}
    }

    private func workOnce(_ runner: inout CallRunner) throws(WatcherError) -> Bool {
        let inbox = serving.inbox
        runner.nowNanos = MonotonicClock.nowNanos()
        guard let request = try take(at: runner.nowNanos) else {
            try runner.flush()
            if WatcherState.hasPartialLine, inbox.withLock({ inbox.state.pointee.running.count == 0 }) {
                WatcherState.hasPartialLine = false
                serving.runtime.flushPartialLines()
            }
            let isOver = inbox.withLock {
                (inbox.state.pointee.isDraining && inbox.state.pointee.calls.count == 0)
                    || inbox.state.pointee.failure != nil
            }
            if isOver { return false }
            inbox.waitForWork()
            return true
        }
        serving.activity.wakeGuard()
        do throws(WatcherError) {
            try runner.run(request)
        } catch {
            inbox.release(request)
            throw error
        }
        if WatcherState.hasPartialLine { serving.runtime.flushPartialLines(of: request.object) }
        let isMore = inbox.withLock {
            inbox.finish(request)
            return inbox.isReady
        }
        Py_DecRef(request.object)
        if !isMore || runner.isFlushDue { try runner.flush() }
        return true
    }

    private func take(at nowNanos: Int64) throws(WatcherError) -> UnsafeMutablePointer<RequestObject>? {
        serving.inbox.lock()
        defer { serving.inbox.unlock() }
        return try serving.inbox.takeRequest(at: nowNanos)
    }
}
