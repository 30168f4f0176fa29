import CLinux
import CPython
import Glibc
import WatcherLink

/// Calls the handler for one call after another, on one thread, and sends the answers.
///
/// Finished answers wait a short time for others, to be written together. During a long call the guard's thread writes
/// them.
struct CallRunner: ~Copyable {
    /// While short calls follow, an answer waits at most this long for others; pieces of a stream too.
    static let flushNanos: Int64 = 100_000

    let serving: Serving
    let handler: PythonObject
    let slot: UnsafeMutablePointer<HandlerSlot>
    /// The last reading of the clock: when bytes came, or when the last call ended.
    var nowNanos: Int64 = 0
    /// How many bytes of answers wait, and since when. Another thread may have written them already.
    private(set) var waitingBytes = 0
    private var waitingSinceNanos: Int64 = 0
    /// `[scratch, request]`: the callee may use the first slot for `self`.
    private let arguments: UnsafeMutablePointer<PythonObject?>

    /// - Parameters:
    ///   - handler: the callable that gets a request, or a list of them; borrowed.
    ///   - slot: shows other threads what this thread works on.
    init(serving: Serving, handler: PythonObject, slot: UnsafeMutablePointer<HandlerSlot>, isMain: Bool) {
        self.serving = serving
        self.handler = handler
        self.slot = slot
        slot.pointee.thread = PyThread_get_thread_ident()
        slot.pointee.isMain = isMain
        arguments = .allocate(capacity: 2)
        arguments.initialize(repeating: nil, count: 2)
    }

    deinit {
        arguments.deallocate()
    }

    /// Writes the finished answers, and the frames that threads without the GIL have left.
    mutating func flush() throws(WatcherError) {
        if waitingBytes == 0 && !serving.output.hasControl { return }
        try serving.output.flush(to: serving.socket)
        waitingBytes = 0
    }

    /// Whether answers have waited long enough.
    var isFlushDue: Bool {
        waitingBytes > OutputBuffer.highWater
            || (waitingBytes > 0 && nowNanos - waitingSinceNanos > Self.flushNanos)
    }

    mutating func noteWaiting(_ bytes: Int) {
        if waitingBytes == 0 { waitingSinceNanos = nowNanos }
        waitingBytes = bytes
    }

    /// Calls the handler for a call, and answers it.
    mutating func run(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        slot.pointee.current = request
        defer { slot.pointee.current = nil }
        slot.pointee.isRaised = false
        let result = call(request.object)
        nowNanos = MonotonicClock.nowNanos()
        if WatcherState.isForkedChild { serving.runtime.endForkedChild(failed: result == nil) }
        if let result {
            defer { Py_DecRef(result) }
            try reply(to: request, with: result)
        } else {
            try reportException(request)
        }
    }

    /// Calls the handler with a list of requests. The Python callable sends the answers itself.
    mutating func run(batch: PythonObject, first: UnsafeMutablePointer<RequestObject>?) throws(WatcherError) {
        slot.pointee.current = first
        slot.pointee.batch = batch
        arguments[1] = batch
        let result = dcf_call_one(handler, arguments)
        nowNanos = MonotonicClock.nowNanos()
        if WatcherState.isForkedChild { serving.runtime.endForkedChild(failed: result == nil) }
        slot.pointee.current = nil
        slot.pointee.batch = nil
        guard let result else { throw .python }
        Py_DecRef(result)
    }

    /// Calls the handler; a cancel may interrupt it.
    ///
    /// - Returns: a new reference; nil with an exception set.
    private mutating func call(_ argument: PythonObject) -> PythonObject? {
        arguments[1] = argument
        slot.pointee.isInHandler = true
        let result = dcf_call_one(handler, arguments)
        slot.pointee.leave()
        return result
    }

    private mutating func reply(
        to request: UnsafeMutablePointer<RequestObject>, with result: PythonObject
    ) throws(WatcherError) {
        if dcf_is_bytes(result) == 0 && dcf_is_str(result) == 0 && PyIter_Check(result) != 0 {
            if request.pointee.wantsPieces {
                try stream(result, to: request)
            } else {
                try join(result, for: request)
            }
        } else {
            noteWaiting(try serving.reply(to: request, with: result, at: nowNanos))
        }
    }

    mutating func reportException(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        try serving.reportException(request)
        noteWaiting(0)
    }

    mutating func fail(
        _ request: UnsafeMutablePointer<RequestObject>, _ error: ErrorHead
    ) throws(WatcherError) {
        try serving.fail(request, error)
        noteWaiting(0)
    }
}
