internal import CGRPC
internal import Locks
internal import Synchronization

/// A call with any number of messages each way, on the hot path: no task, no continuation. What happens goes to its
/// handler as events.
///
/// One `receive` and one `send` at a time; `finish` once, when no `send` is under way. It owns all that the core may
/// touch until the last of its events is complete, and its handler until then.
package final class StreamingCall: CoreCall, @unchecked Sendable {
    // @unchecked: who sends does so one after another, so does who receives; the core synchronises the two.

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
    /// Events to come; that of `finish` is one of them from the beginning.
    private let awaited = Atomic<Int>(1)

    init(method: StreamingMethod) {
        self.method = method
    }

    package override func complete(event: UInt8, success: Bool) {
        switch event {
        case Event.arrived:
            // Not a call: the server shuts down.
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
        // Nothing is asked for after `finish`, so nobody else looks at the handler when no event is to come.
        done()
    }

    private func done() {
        if awaited.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { handler = nil }
    }

    /// Hands the call to its handler, which hears of its end from now on.
    func begin(_ handler: any StreamingCallHandler) {
        self.handler = handler
        _ = ask(Event.closed) { dcf_watch_close(storage, $0) }
        handler.begin()
    }

    /// Why there is no room for a reply.
    package var repliesNotTaken: String { method.connections.repliesNotTaken }

    /// When the caller stops waiting.
    package var deadline: MonotonicTime {
        MonotonicTime(core: storage.pointee.deadline)
    }

    /// Asks for the next message.
    ///
    /// - Returns: false when the core refuses, which it does not do to a caller that keeps the rules above.
    @discardableResult
    package func receive() -> Bool {
        ask(Event.received) { dcf_receive_message(storage.pointee.call, &storage.pointee.message, $0) }
    }

    /// Sends a message.
    ///
    /// - Parameter more: another `send` follows in any case; this message may leave together with it.
    /// - Returns: false when the core refuses: then no event comes.
    @discardableResult
    package func send(_ message: consuming ByteBuffer, more: Bool = false) -> Bool {
        storage.pointee.reply = message.release()
        let isFirst = !hasSentInitial
        hasSentInitial = true
        // The initial metadata has to be written before the core says that its message is taken: it cannot wait.
        let mayWait = more && !isFirst
        let isSent = ask(Event.sent) { dcf_send_reply(storage, isFirst ? 1 : 0, mayWait ? 1 : 0, $0) }
        if !isSent { dropReply() }
        return isSent
    }

    /// Counts a message that will be sent; nil when there is no room for it, as the client has not taken what it was sent
    /// before. To be given to `uncount`, once.
    package func count(_ bytes: Int) -> SentBytes? {
        method.connections.begin(reply: bytes, on: storage.pointee.call)
    }

    /// - Parameter isSent: the core has said so.
    package func uncount(_ sent: SentBytes, isSent: Bool) {
        method.connections.end(sent, isSent: isSent)
    }

    /// Takes room for a message that was received and has to wait; nil when there is none.
    package func takeRoom(_ bytes: Int) -> InputRoom? {
        method.connections.takeRoom(bytes, of: storage.pointee.call)
    }

    /// Ends the call.
    package func finish(_ status: Status) {
        assertNoLockIsHeld()
        prepare(status)
        let tag = tag(event: Event.finished)
        guard dcf_finish(storage, hasSentInitial ? 0 : 1, status.code.rawValue, tag) != GRPC_CALL_OK else { return }
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
