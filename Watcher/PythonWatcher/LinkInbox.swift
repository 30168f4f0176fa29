import CLinux
import Glibc
import WatcherLink

/// What came over the link: bytes not yet understood, calls that have not begun, and what a frame is for that is
/// neither.
///
/// Whoever has nothing else to do reads: the main thread while it is idle, a thread that waits for another function's
/// answer or for a stream's credit, and the guard's thread while a call lasts. One at a time: to wait for bytes is a
/// role, and who has it owns the input buffer meanwhile. Nobody here needs the GIL, and nobody may wait for it under
/// the lock.
///
/// A handle: copies share the memory, which lives as long as the process.
struct LinkInbox {
    typealias Record = UnsafeMutablePointer<CallRecord>

    /// Everything but the lock itself is touched under the lock only.
    struct State: ~Copyable {
        var lock = pthread_mutex_t()
        /// Something that a thread may wait for is there: an answer, credit, a cancel, the reader's role.
        var changed = pthread_cond_t()
        var waiters = 0
        /// A call is there, for a thread of the handler's that is idle.
        var work = pthread_cond_t()
        var idleWorkers = 0

        /// Whether a thread waits for bytes.
        var isReading = false
        /// Whether the handler runs on threads of its own.
        var hasThreads = false
        /// Whether the guard's thread has the reader's role for good.
        var guardReads = false
        var input = InputBuffer()
        /// Bytes of a frame that are still to be thrown away.
        var bytesToSkip = 0
        /// A frame with a long body that is being received.
        var partial: Record?
        /// When the last bytes came: the time that a call has left counts from here.
        var receivedNanos: Int64 = 0

        /// Calls that have not begun.
        var calls = CallQueue()
        /// Whether calls that come as a batch stay one.
        var keepsBatches = false
        /// Batches begun so far, and calls of the last that are still to come.
        var batches: UInt64 = 0
        var batchMissing = 0
        var running = RunningCalls()
        /// Calls at once at most.
        var concurrency = 1
        var isDraining = false
        /// Why the link cannot go on.
        var failure: WatcherError?

        var cancelStyle = CancelStyle.flag
        /// Whether an exception is to be raised in a thread of the handler's.
        var hasRaises = false

        /// Calls of the handler's to other functions.
        var outgoing: [OutgoingCall] = []
        var lastOutgoing: UInt64 = 0

        /// Where the event loop hears that it must look; -1 without one.
        var loopEvent: Int32 = -1
        var isLoopTold = false
        /// When it was.
        var loopToldNanos: Int64 = 0
        /// Since the loop last looked: whether a call was cancelled, whether one got credit.
        var hasCancels = false
        var hasCredit = false
    }

    let socket: LinkSocket
    let output: OutputBuffer
    let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

    init(socket: LinkSocket, output: OutputBuffer) {
        self.socket = socket
        self.output = output
        state.initialize(to: State())
        pthread_mutex_init(&state.pointee.lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(&state.pointee.changed, &attributes)
        pthread_cond_init(&state.pointee.work, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    func lock() {
        pthread_mutex_lock(&state.pointee.lock)
    }

    func tryLock() -> Bool {
        pthread_mutex_trylock(&state.pointee.lock) == 0
    }

    func unlock() {
        pthread_mutex_unlock(&state.pointee.lock)
    }

    func withLock<Result>(_ body: () -> Result) -> Result {
        lock()
        defer { unlock() }
        return body()
    }

    // MARK: - Under the lock

    /// Wakes those who wait for something.
    func announce() {
        if state.pointee.waiters > 0 { pthread_cond_broadcast(&state.pointee.changed) }
        guard state.pointee.loopEvent >= 0, !state.pointee.isLoopTold else { return }
        state.pointee.isLoopTold = true
        state.pointee.loopToldNanos = MonotonicClock.nowNanos()
        eventfd_write(state.pointee.loopEvent, 1)
    }

    /// The link cannot go on: what has not begun never will.
    func fail(_ error: WatcherError) {
        if state.pointee.failure == nil { state.pointee.failure = error }
        for record in state.pointee.calls.removeAll() { record.release() }
        if !state.pointee.isReading {
            state.pointee.partial?.release()
            state.pointee.partial = nil
        }
        pthread_cond_broadcast(&state.pointee.work)
        announce()
    }

    /// Whether a call, or a whole batch, can begin.
    var isReady: Bool {
        guard let first = state.pointee.calls.first else { return false }
        return !isIncomplete(first)
    }

    func isIncomplete(_ record: Record) -> Bool {
        record.pointee.batch != 0 && record.pointee.batch == state.pointee.batches && state.pointee.batchMissing > 0
    }

    /// Takes what can begin next; nil when there is nothing. Of a batch its first call, the others follow with
    /// ``takeRest(of:)``.
    func takeReady() -> Record? {
        isReady ? state.pointee.calls.removeFirst() : nil
    }

    /// The calls of the same batch.
    func takeRest(of record: Record) -> [Record] {
        guard record.pointee.batch != 0 else { return [] }
        return state.pointee.calls.remove { $0.pointee.batch == record.pointee.batch }
    }

    // MARK: - Refusals

    /// Answers calls that nobody waits for any more, so that they never begin.
    func refuseExpired(at nowNanos: Int64) {
        let expired = state.pointee.calls.remove {
            $0.pointee.deadlineNanos != 0 && $0.pointee.deadlineNanos <= nowNanos
        }
        for record in expired {
            refuse(record.pointee.id, code: 4, "the deadline passed before the call began")
            record.release()
        }
    }

    func refuse(_ id: UInt64, code: UInt8, _ message: String) {
        output.addControl(.error, id: id, head: ErrorHead(code: code, executed: .no, message: message).head)
    }
}
