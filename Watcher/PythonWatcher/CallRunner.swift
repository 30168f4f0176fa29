import CLinux
import CPython
import Glibc
import WatcherLink

/// Has the handler answer one call after another, on one thread, and sends the answers.
///
/// Finished answers wait for each other, though never long: the guard's thread writes them when a call lasts.
struct CallRunner: ~Copyable {
    /// An answer waits at most this long for others while short calls follow; pieces of a stream too.
    static let flushNanos: Int64 = 100_000

    let service: Service
    let handler: PythonObject
    let slot: UnsafeMutablePointer<HandlerSlot>
    /// The time of the last look at the clock: when bytes came, or the last call ended.
    var nowNanos: Int64 = 0
    /// Bytes of answers that wait, and since when. Another thread may have written them already.
    private(set) var waitingBytes = 0
    private var waitingSinceNanos: Int64 = 0
    /// `[scratch, request]`: the callee may use the first slot for `self`.
    private let arguments: UnsafeMutablePointer<PythonObject?>

    /// - Parameters:
    ///   - handler: what is called with a request, or with a list of them; borrowed.
    ///   - slot: where others see what this thread is at.
    init(service: Service, handler: PythonObject, slot: UnsafeMutablePointer<HandlerSlot>, isMain: Bool) {
        self.service = service
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

    /// Writes the finished answers, and what threads without the GIL left.
    mutating func flush() throws(WatcherError) {
        if waitingBytes == 0 && !service.output.hasControl { return }
        try service.output.flush(to: service.socket)
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

    /// Has the handler answer a call.
    mutating func run(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        slot.pointee.current = request
        defer { slot.pointee.current = nil }
        slot.pointee.isRaised = false
        let result = call(request.object)
        nowNanos = MonotonicClock.nowNanos()
        if WatcherState.isForkedChild { service.runtime.endForkedChild(failed: result == nil) }
        if let result {
            defer { Py_DecRef(result) }
            try reply(to: request, with: result)
        } else {
            try reportException(request)
        }
    }

    /// Has the handler answer several calls, given as a list. It sends the answers itself.
    mutating func run(batch: PythonObject, first: UnsafeMutablePointer<RequestObject>?) throws(WatcherError) {
        slot.pointee.current = first
        slot.pointee.batch = batch
        arguments[1] = batch
        let result = dcf_call_one(handler, arguments)
        nowNanos = MonotonicClock.nowNanos()
        if WatcherState.isForkedChild { service.runtime.endForkedChild(failed: result == nil) }
        slot.pointee.current = nil
        slot.pointee.batch = nil
        guard let result else { throw .python }
        Py_DecRef(result)
    }

    /// Calls the handler, which may be interrupted meanwhile; a new reference, or nil with its exception set.
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
            noteWaiting(try service.reply(to: request, with: result, at: nowNanos))
        }
    }

    mutating func reportException(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        try service.reportException(request)
        noteWaiting(0)
    }

    mutating func fail(
        _ request: UnsafeMutablePointer<RequestObject>, _ error: ErrorHead
    ) throws(WatcherError) {
        try service.fail(request, error)
        noteWaiting(0)
    }
}
