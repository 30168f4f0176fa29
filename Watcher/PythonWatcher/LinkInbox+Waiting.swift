import CLinux
import CPython
import Glibc

/// Waiting for another thread, or for the gateway.
extension LinkInbox {
    private enum Outcome {
        case done
        case timedOut
        case interrupted
        case failed(WatcherError)
    }

    /// The longest time between two runs of the author's signal handlers on the main thread: its wait may not be
    /// interrupted, because another thread got the signal, or it came just before the main thread slept.
    private static let signalNanos: Int64 = 50_000_000

    /// Waits for a condition with the GIL released. Reads the link meanwhile, if no other thread does.
    ///
    /// - Parameters:
    ///   - isMain: whether this is the main thread, which runs Python's signal handlers.
    ///   - untilNanos: the end of the wait, on MonotonicClock; 0 means no end.
    ///   - isDone: the condition; called under the lock.
    /// - Returns: false if the time was up first.
    func wait(
        isMain: Bool, untilNanos: Int64 = 0, _ isDone: () -> Bool
    ) throws(WatcherError) -> Bool {
        while true {
            let thread = PyEval_SaveThread()
            let outcome = waitUnlocked(isMain: isMain, untilNanos: untilNanos, isDone)
            PyEval_RestoreThread(thread)
            switch outcome {
            case .done: return true
            case .timedOut: return false
            case .interrupted: guard PyErr_CheckSignals() == 0 else { throw .python }
            case .failed(let error): throw error
            }
        }
    }

    private func waitUnlocked(isMain: Bool, untilNanos: Int64, _ isDone: () -> Bool) -> Outcome {
        lock()
        defer { unlock() }
        while true {
            if !state.pointee.isReading { handleFrames() }
            if isDone() { return .done }
            if let failure = state.pointee.failure { return .failed(failure) }
            let now = MonotonicClock.nowNanos()
            if untilNanos != 0 && now >= untilNanos { return .timedOut }
            let signals = isMain ? now + Self.signalNanos : 0
            let end = untilNanos == 0 ? signals : signals == 0 ? untilNanos : min(signals, untilNanos)
            var isInterrupted = false
            if state.pointee.isReading || state.pointee.guardReads {
                waitForChange(untilNanos: end)
            } else {
                isInterrupted = !read(untilNanos: end)
            }
            if isMain && (isInterrupted || MonotonicClock.nowNanos() >= signals) {
                return isDone() ? .done : .interrupted
            }
        }
    }

    /// Sleeps until another thread announces a change. Under the lock, which is released meanwhile.
    private func waitForChange(untilNanos: Int64) {
        state.pointee.waiters += 1
        if untilNanos == 0 {
            pthread_cond_wait(&state.pointee.changed, &state.pointee.lock)
        } else {
            var time = timespec(tv_sec: Int(untilNanos / 1_000_000_000), tv_nsec: Int(untilNanos % 1_000_000_000))
            pthread_cond_timedwait(&state.pointee.changed, &state.pointee.lock, &time)
        }
        state.pointee.waiters -= 1
    }

    /// Waits for bytes in the reader's role, and handles them. Under the lock, which is released during the wait.
    ///
    /// - Returns: false if a signal interrupted the wait.
    private func read(untilNanos: Int64) -> Bool {
        let target = beginReading()
        unlock()
        var count = recv(socket.descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN {
            // A `recv` that waits would also be woken by the gateway when it takes a reply from the socket: the gateway
            // would lose its processor to this thread, which has nothing to do, before it passes the reply on.
            var entry = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
            let millis =
                untilNanos == 0 ? -1 : max(1, (untilNanos - MonotonicClock.nowNanos() + 999_999) / 1_000_000)
            count = Int(poll(&entry, 1, Int32(clamping: millis)))
            if count > 0 {
                count = recv(socket.descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
            } else if count == 0 {
                count = -1
                errno = EAGAIN
            }
        }
        // At the end of the link, `recv` returns 0 and does not set errno.
        let code = count < 0 ? errno : 0
        lock()
        endReading()
        if count > 0 {
            received(count)
            handleFrames()
            output.sendControl(to: socket)
        } else if code == EINTR {
            return false
        } else if code != EAGAIN {
            fail(count == 0 ? .ended : LinkSocket.failure(code))
        }
        return true
    }

    /// Takes the reader's role, which must be free. Under the lock.
    func beginReading() -> UnsafeMutableRawBufferPointer {
        state.pointee.isReading = true
        return receiveTarget()
    }

    /// Gives the reader's role back, and wakes the threads that may want it. Under the lock.
    func endReading() {
        state.pointee.isReading = false
        // If the link has failed meanwhile, drops what has come since.
        if let failure = state.pointee.failure { fail(failure) }
        if state.pointee.waiters > 0 { pthread_cond_broadcast(&state.pointee.changed) }
    }

    /// Waits until a call can begin, a drain begins, or the link has failed; for a thread that runs the handler.
    /// Releases the GIL.
    func waitForWork() {
        let thread = PyEval_SaveThread()
        lock()
        state.pointee.idleWorkers += 1
        while !isReady && !state.pointee.isDraining && state.pointee.failure == nil {
            pthread_cond_wait(&state.pointee.work, &state.pointee.lock)
        }
        state.pointee.idleWorkers -= 1
        unlock()
        PyEval_RestoreThread(thread)
    }
}
