import CLinux
import Glibc
import WatcherLink

/// What has come over the link: bytes that are not parsed yet, calls that have not begun, answers of other functions,
/// and the effects of all other frames.
///
/// A thread reads the link when it has nothing else to do: the main thread while it is idle, a thread that waits for
/// another function's answer or for a stream's credit, and the guard's thread while a call lasts. Only one thread reads
/// at a time. It has the reader's role, and owns the input buffer meanwhile. Reading needs no GIL. No thread may wait
/// for the GIL under the lock.
///
/// A handle: copies share the memory, which lives as long as the process.
struct LinkInbox {
    typealias Record = UnsafeMutablePointer<CallRecord>

    /// Everything but the lock itself is used under the lock only.
    struct State: ~Copyable {
        var lock = pthread_mutex_t()
        /// Signalled when a thread may have something that it waits for: an answer, credit, a cancel, the reader's
        /// role.
        var changed = pthread_cond_t()
        var waiters = 0
        /// Signalled when a call waits for an idle thread that runs the handler.
        var work = pthread_cond_t()
        var idleWorkers = 0

        /// Whether a thread has the reader's role.
        var isReading = false
        /// Whether the handler runs on threads of its own.
        var hasThreads = false
        /// Whether the guard's thread always reads the link.
        var guardReads = false
        var input = InputBuffer()
        /// How many bytes of a dropped frame are still to come.
        var bytesToSkip = 0
        /// A frame with a long body that is being received.
        var partial: Record?
        /// When the last bytes came. The remaining time of a call counts from here.
        var receivedNanos: Int64 = 0

        /// The calls that have not begun.
        var calls = CallQueue()
        /// Whether the handler gets batches. Otherwise the calls of a batch are served one by one.
        var keepsBatches = false
        /// How many batches have begun to come.
        var batches: UInt64 = 0
        /// How many calls of the last batch have not come yet.
        var batchMissing = 0
        var running = RunningCalls()
        /// How many calls may run at once.
        var concurrency = 1
        var isDraining = false
        /// Why the link cannot go on.
        var failure: WatcherError?

        var cancelStyle = CancelStyle.flag
        /// Whether an exception must be raised in a thread that runs the handler.
        var hasRaises = false

        /// The calls that the handler has made to other functions.
        var outgoing: [OutgoingCall] = []
        var lastOutgoing: UInt64 = 0

        /// The eventfd that tells the event loop of news; -1 without an event loop.
        var loopEvent: Int32 = -1
        /// Whether the loop has been told, and has not looked since.
        var isLoopTold = false
        /// When the loop was told.
        var loopToldNanos: Int64 = 0
        /// Whether a call was cancelled since the loop last looked.
        var hasCancels = false
        /// Whether a call got credit since the loop last looked.
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

    /// Wakes the threads that wait for something, and the event loop.
    func announce() {
        if state.pointee.waiters > 0 { pthread_cond_broadcast(&state.pointee.changed) }
        guard state.pointee.loopEvent >= 0, !state.pointee.isLoopTold else { return }
        state.pointee.isLoopTold = true
        state.pointee.loopToldNanos = MonotonicClock.nowNanos()
        eventfd_write(state.pointee.loopEvent, 1)
    }

    /// The link cannot go on: drops the calls that have not begun, and wakes all threads.
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

    /// Whether a single call, or a whole batch, can begin.
    var isReady: Bool {
        guard let first = state.pointee.calls.first else { return false }
        return !isIncomplete(first)
    }

    func isIncomplete(_ record: Record) -> Bool {
        record.pointee.batch != 0 && record.pointee.batch == state.pointee.batches && state.pointee.batchMissing > 0
    }

    /// Takes the next call that can begin; nil when there is none. Of a batch it takes the first call;
    /// ``takeRest(of:)`` takes the others.
    func takeReady() -> Record? {
        isReady ? state.pointee.calls.removeFirst() : nil
    }

    /// Takes the other calls of the same batch.
    func takeRest(of record: Record) -> [Record] {
        guard record.pointee.batch != 0 else { return [] }
        return state.pointee.calls.remove { $0.pointee.batch == record.pointee.batch }
    }

    // MARK: - Refusals

    /// Refuses the waiting calls with a deadline that has passed, so that they never begin.
    func refuseExpired(at nowNanos: Int64) {
        let expired = state.pointee.calls.remove {
            $0.pointee.deadlineNanos != 0 && $0.pointee.deadlineNanos <= nowNanos
        }
        for record in expired {
            refuseExpired(record.pointee.id)
            record.release()
        }
    }

    /// Refuses a call because its deadline has passed.
    func refuseExpired(_ id: UInt64) {
        refuse(id, code: .deadlineExceeded, "the deadline passed before the call began")
    }

    /// Ends a call that has not begun with a status.
    func refuse(_ id: UInt64, code: LinkStatusCode, _ message: String) {
        output.addControl(.error, id: id, head: ErrorHead(code: code, executed: .no, message: message).head)
    }
}
