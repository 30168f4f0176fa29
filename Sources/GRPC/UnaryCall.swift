internal import CGRPC
package import Platform
internal import Synchronization

/// A server's call with one request and one reply. It is made for the hot path: it uses no task and no continuation.
///
/// Its method's handler gets it with the whole request. It must be finished exactly once, from any thread. It owns all
/// memory that the core may use until the last of its events is complete.
package final class UnaryCall: CoreCall, @unchecked Sendable {
    // @unchecked: `takeRoom`, `finish` and `watchClose` are each called once, and `asksForClose` decides between the
    // last two; the core synchronises sends and receives separately.

    enum Event {
        static let arrived: UInt8 = 0
        static let finished: UInt8 = 1
        static let closed: UInt8 = 2
    }

    private let method: UnaryMethod
    private var onClose: (@Sendable () -> Void)?
    /// Whether the core was asked for the call's close, which may be done once.
    private let asksForClose = Atomic<Bool>(false)
    /// The count of the reply among the connections' replies.
    private var sent: SentBytes?

    init(method: UnaryMethod) {
        self.method = method
    }

    package override func complete(event: UInt8, success: Bool) {
        switch event {
        case Event.arrived:
            // Without success this is not a call: the server shuts down.
            guard success else { return }
            method.arrived(self)
        case Event.closed:
            let body = onClose
            onClose = nil
            if storage.pointee.cancelled != 0 { body?() }
        case Event.finished:
            if let sent { method.connections.end(sent, isSent: success && storage.pointee.cancelled == 0) }
            sent = nil
        default:
            break
        }
    }

    /// Removes and returns the request; nil when the client sent none.
    package func takeRequest() -> ByteBuffer? {
        guard let message = storage.pointee.message else { return nil }
        storage.pointee.message = nil
        return ByteBuffer(owning: message)
    }

    /// When the caller stops waiting.
    package var deadline: MonotonicTime {
        MonotonicTime(core: storage.pointee.deadline)
    }

    /// Has `body` called if the client leaves before the call is finished. It runs on the thread that handles the
    /// events of the bound queue: where that queue has no thread of its own, any thread that handles them. Called at
    /// most once for a call; it costs one more batch.
    package func watchClose(_ body: @escaping @Sendable () -> Void) {
        assertNoLockIsHeld()
        guard !asksForClose.exchange(true, ordering: .acquiringAndReleasing) else { return }
        onClose = body
        let tag = tag(event: Event.closed)
        if dcf_watch_close(storage, tag) != GRPC_CALL_OK { CompletionTag.forget(tag) }
    }

    /// Takes room for a reply of this many bytes among the replies that clients have not read. `finish` with the reply
    /// follows.
    ///
    /// - Returns: why there is no room.
    package func takeRoom(for bytes: Int) -> String? {
        sent = method.connections.begin(reply: bytes, on: storage.pointee.call)
        return sent == nil ? method.connections.repliesNotTaken : nil
    }

    /// Answers with OK and `message`, for which there is room.
    package func finish(_ message: consuming ByteBuffer) {
        storage.pointee.reply = message.release()
        send(.ok)
    }

    /// Answers with a status that is not OK.
    package func finish(_ status: Status) {
        prepare(status)
        send(status.code)
    }

    private func send(_ code: StatusCode) {
        assertNoLockIsHeld()
        let tag = tag(event: Event.finished)
        // A call that is freed before its close has come is cancelled by the core, which costs more than to ask for it.
        let closes: Int32 = asksForClose.exchange(true, ordering: .acquiringAndReleasing) ? 0 : 1
        method.bound.expectSoon()
        guard dcf_finish(storage, 1, code.rawValue, closes, tag) != GRPC_CALL_OK else { return }
        CompletionTag.forget(tag)
        if let sent { method.connections.end(sent, isSent: false) }
        sent = nil
    }
}

/// A registered method of a ``Server``: it keeps asking the core for calls, and hands each call to the handler.
final class UnaryMethod: @unchecked Sendable {
    // @unchecked: everything is constant, and the core's pointers may be used from any thread.
    private let server: OpaquePointer
    private let method: UnsafeMutableRawPointer
    /// Gets the events of the calls after their arrival.
    let bound: CompletionQueue
    /// Gets the arrivals.
    private let notified: CompletionQueue
    let connections: Connections
    private let handler: @Sendable (UnaryCall) -> Void

    init(
        server: OpaquePointer, method: UnsafeMutableRawPointer, bound: CompletionQueue, notified: CompletionQueue,
        connections: Connections, handler: @escaping @Sendable (UnaryCall) -> Void
    ) {
        self.server = server
        self.method = method
        self.bound = bound
        self.notified = notified
        self.connections = connections
        self.handler = handler
    }

    /// Asks the core for one more call.
    func post() {
        let call = UnaryCall(method: self)
        let tag = call.tag(event: UnaryCall.Event.arrived)
        let error = dcf_request_registered(server, method, 1, call.storage, bound.handle, notified.handle, tag)
        if error != GRPC_CALL_OK { CompletionTag.forget(tag) }
    }

    func arrived(_ call: UnaryCall) {
        post()
        handler(call)
    }
}

/// The base of all calls that a server takes (``UnaryCall``, ``StreamingCall``, ``ServerCall``): the memory that the
/// core reads and writes while a call is under way, the caller's metadata, and the metadata that goes back.
package class CoreCall: CompletionTag {
    final let storage: UnsafeMutablePointer<dcf_call_storage>

    override init() {
        storage = .allocate(capacity: 1)
        dcf_call_storage_init(storage)
    }

    deinit {
        dcf_call_storage_destroy(storage)
        storage.deallocate()
    }

    /// Calls `body` for each pair of the caller's metadata. The memory is valid only until `body` returns.
    package final func forEachMetadata(_ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void)
    {
        let array = storage.pointee.metadata
        for index in 0..<array.count {
            let entry = array.metadata + index
            withUnsafePointer(to: &entry.pointee.key) { key in
                withUnsafePointer(to: &entry.pointee.value) { value in
                    body(
                        UnsafeRawBufferPointer(start: dcf_slice_start(key), count: dcf_slice_length(key)),
                        UnsafeRawBufferPointer(start: dcf_slice_start(value), count: dcf_slice_length(value)))
                }
            }
        }
    }

    /// Adds a pair to the trailing metadata, before the call is finished. With a key or a value that gRPC does not
    /// allow, the call could not be finished.
    package final func addTrailer(_ key: StaticString, _ value: UnsafeRawBufferPointer) {
        dcf_call_storage_add_trailing(storage, grpc_slice(key), grpc_slice(copying: value))
    }

    /// Adds a pair to the trailing metadata, with a copy of the key.
    package final func addTrailer(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        dcf_call_storage_add_trailing(storage, grpc_slice(copying: key), grpc_slice(copying: value))
    }

    /// Adds a pair to the initial metadata, two at most, before anything is sent.
    package final func addInitial(_ key: StaticString, _ value: UnsafeRawBufferPointer) {
        dcf_call_storage_add_initial(storage, grpc_slice(key), grpc_slice(copying: value))
    }

    /// Stores the status's message and metadata, which are sent when the call is finished.
    final func prepare(_ status: Status) {
        storage.pointee.status_message = grpc_slice(status.boundedMessage)
        // This tells a client that compresses what to do instead. It is in the trailers because the core sends no
        // initial metadata with a status alone.
        if status.code == .unimplemented {
            dcf_call_storage_add_trailing(
                storage, grpc_slice("grpc-accept-encoding" as StaticString), grpc_slice("identity" as StaticString))
        }
        for (key, value) in status.metadata.pairs {
            dcf_call_storage_add_trailing(storage, grpc_slice(key), grpc_slice(value))
        }
    }
}

extension MonotonicTime {
    /// Converts a deadline of the core.
    init(core deadline: gpr_timespec) {
        let infinite = gpr_inf_future(deadline.clock_type)
        guard gpr_time_cmp(deadline, infinite) < 0 else {
            self = .never
            return
        }
        let monotonic = gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC)
        // 285 years either way: they stay within 64 bits of nanoseconds.
        let seconds = min(max(monotonic.tv_sec, -9_000_000_000), 9_000_000_000)
        let corrected = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        self.init(nanoseconds: corrected.overflow ? .max : corrected.partialValue &+ Int64(monotonic.tv_nsec))
    }
}
