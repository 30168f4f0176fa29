internal import CGRPC
package import Platform
internal import Synchronization

/// A server's call with any number of messages each way. It is made for the hot path: it uses no task and no
/// continuation, and tells its handler each event.
///
/// One `receive` and one `send` may be under way at a time; `finish` is called once, when no `send` is. It owns its
/// handler and all memory that the core may use until the last of its events is complete.
package final class StreamingCall: CoreCall, @unchecked Sendable {
    // @unchecked: sends follow one another, and so do receives; the core synchronises the two.

    enum Event {
        static let arrived: UInt8 = 0
        static let finished: UInt8 = 1
        static let closed: UInt8 = 2
        static let received: UInt8 = 3
        static let sent: UInt8 = 4
    }

    private let method: StreamingMethod
    private var handler: (any StreamingCallHandler)?
    private var hasSentInitial = false
    /// How many events are still to come. The event of `finish` counts from the beginning.
    private let awaited = Atomic<Int>(1)

    init(method: StreamingMethod) {
        self.method = method
    }

    package override func complete(event: UInt8, success: Bool) {
        switch event {
        case Event.arrived:
            // Without success this is not a call: the server shuts down.
            guard success else { return }
            method.arrived(self)
            return
        case Event.received:
            let message = storage.pointee.message
            storage.pointee.message = nil
            if let message {
                handler?.received(ByteBuffer(owning: message))
            } else {
                handler?.received(nil)
            }
        case Event.sent:
            dropReply()
            handler?.sent(success: success)
        case Event.closed:
            handler?.closed(cancelled: storage.pointee.cancelled != 0)
        default:
            break
        }
        // Nothing is asked for after `finish`. So when no event is to come, no other thread uses the handler.
        done()
    }

    private func done() {
        if awaited.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { handler = nil }
    }

    /// Hands the call to its handler, which is told the call's end from now on.
    func begin(_ handler: any StreamingCallHandler) {
        self.handler = handler
        _ = ask(Event.closed) { dcf_watch_close(storage, $0) }
        handler.begin()
    }

    /// The message for a reply that has no room.
    package var repliesNotTaken: String { method.connections.repliesNotTaken }

    /// When the caller stops waiting.
    package var deadline: MonotonicTime {
        MonotonicTime(core: storage.pointee.deadline)
    }

    /// Asks for the next message.
    ///
    /// - Returns: false when the core refuses, which does not happen under the rules above.
    @discardableResult
    package func receive() -> Bool {
        ask(Event.received) { dcf_receive_message(storage.pointee.call, &storage.pointee.message, $0) }
    }

    /// Sends a message.
    ///
    /// - Parameter more: promises that another `send` follows; this message may leave together with it.
    /// - Returns: false when the core refuses: then no event comes.
    @discardableResult
    package func send(_ message: consuming ByteBuffer, more: Bool = false) -> Bool {
        storage.pointee.reply = message.release()
        let isFirst = !hasSentInitial
        hasSentInitial = true
        // The core reports the first message as sent only after the initial metadata is written: that message cannot
        // wait.
        let mayWait = more && !isFirst
        let isSent = ask(Event.sent) { dcf_send_reply(storage, isFirst ? 1 : 0, mayWait ? 1 : 0, $0) }
        if !isSent { dropReply() }
        return isSent
    }

    /// Counts a message that will be sent; nil when earlier messages that the client has not read leave no room for it.
    /// The result must be given to `uncount` once.
    package func count(_ bytes: Int) -> SentBytes? {
        method.connections.begin(reply: bytes, on: storage.pointee.call)
    }

    /// Ends the count of a message.
    ///
    /// - Parameter isSent: whether the core has reported the message as sent.
    package func uncount(_ sent: SentBytes, isSent: Bool) {
        method.connections.end(sent, isSent: isSent)
    }

    /// Reserves room for a message that was received and must wait; nil when there is none.
    package func reserveRoom(_ bytes: Int) -> InputRoom? {
        method.connections.reserveRoom(bytes, of: storage.pointee.call)
    }

    /// Ends the call.
    package func finish(_ status: Status) {
        assertNoLockIsHeld()
        prepare(status)
        let tag = tag(event: Event.finished)
        guard dcf_finish(storage, hasSentInitial ? 0 : 1, status.code.rawValue, 0, tag) != GRPC_CALL_OK else { return }
        CompletionTag.forget(tag)
        done()
    }

    private func dropReply() {
        if let reply = storage.pointee.reply { grpc_byte_buffer_destroy(reply) }
        storage.pointee.reply = nil
    }

    private func ask(_ event: UInt8, _ start: (UnsafeMutableRawPointer?) -> grpc_call_error) -> Bool {
        assertNoLockIsHeld()
        awaited.add(1, ordering: .relaxed)
        let tag = tag(event: event)
        guard start(tag) == GRPC_CALL_OK else {
            awaited.subtract(1, ordering: .relaxed)
            CompletionTag.forget(tag)
            return false
        }
        return true
    }
}

/// Serves one ``StreamingCall``. The methods run on threads of the completion queue, perhaps two at a time, and must
/// not block.
package protocol StreamingCallHandler: AnyObject, Sendable {
    /// The call may be used from now on. It is the first event.
    func begin()

    /// Brings the message that `receive` asked for.
    ///
    /// - Parameter message: nil when the client will send no more, or has left.
    func received(_ message: consuming ByteBuffer?)

    /// The core has taken the message that `send` gave it.
    ///
    /// - Parameter success: false when the call has ended instead.
    func sent(success: Bool)

    /// The call has ended.
    ///
    /// - Parameter cancelled: the client has left, or the server was told to cancel its calls.
    func closed(cancelled: Bool)
}

/// A registered method of a ``Server`` with any number of messages: it keeps asking the core for calls, and hands each
/// call to the handler that `serve` makes for it.
final class StreamingMethod: @unchecked Sendable {
    // @unchecked: everything is constant, and the core's pointers may be used from any thread.
    private let server: OpaquePointer
    private let method: UnsafeMutableRawPointer
    private let queue: CompletionQueue
    let connections: Connections
    private let serve: @Sendable (StreamingCall) -> any StreamingCallHandler

    init(
        server: OpaquePointer, method: UnsafeMutableRawPointer, queue: CompletionQueue,
        connections: Connections, serve: @escaping @Sendable (StreamingCall) -> any StreamingCallHandler
    ) {
        self.server = server
        self.method = method
        self.queue = queue
        self.connections = connections
        self.serve = serve
    }

    /// Asks the core for one more call.
    func post() {
        let call = StreamingCall(method: self)
        let tag = call.tag(event: StreamingCall.Event.arrived)
        let error = dcf_request_registered(server, method, 0, call.storage, queue.handle, queue.handle, tag)
        if error != GRPC_CALL_OK { CompletionTag.forget(tag) }
    }

    func arrived(_ call: StreamingCall) {
        post()
        call.begin(serve(call))
    }
}
