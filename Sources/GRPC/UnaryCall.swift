internal import CGRPC
internal import Locks
internal import Synchronization

/// A call with one request and one reply, on the hot path: no task, no continuation.
///
/// It comes to its method's handler with the whole request. It must be finished exactly once, from any thread. It owns
/// all that the core may touch until the last of its events is complete.
package final class UnaryCall: CoreCall, @unchecked Sendable {
    // @unchecked: `finish` and `watchClose` are each called once; the core synchronises sends and receives separately.

    enum Event {
        static let arrived: UInt8 = 0
        static let finished: UInt8 = 1
        static let closed: UInt8 = 2
    }

    private let method: UnaryMethod
    private var onClose: (@Sendable () -> Void)?
    /// The reply, as it was counted.
    private var sent: SentBytes?

    init(method: UnaryMethod) {
        self.method = method
    }

    package override func complete(event: UInt8, success: Bool) {
        switch event {
        case Event.arrived:
            // Not a call: the server shuts down.
            guard success else { return }
            method.arrived(self)
        case Event.closed:
            let body = onClose
            onClose = nil
            if storage.pointee.cancelled != 0 { body?() }
        case Event.finished:
            if let sent { method.connections.end(sent, isSent: success) }
            sent = nil
        default:
            break
        }
    }

    /// Takes the request out; nil when the client closed without sending one.
    package func takeRequest() -> ByteBuffer? {
        guard let message = storage.pointee.message else { return nil }
        storage.pointee.message = nil
        return ByteBuffer(owning: message)
    }

    /// When the caller stops waiting.
    package var deadline: MonotonicTime {
        MonotonicTime(core: storage.pointee.deadline)
    }

    /// Has `body` called, on a thread of the queue, when the client leaves before the call is finished. Once a call, as
    /// it costs a batch of its own.
    package func watchClose(_ body: @escaping @Sendable () -> Void) {
        assertNoLockIsHeld()
        onClose = body
        let tag = tag(event: Event.closed)
        if dcf_watch_close(storage, tag) != GRPC_CALL_OK { CompletionTag.forget(tag) }
    }

    /// Answers with OK and `message`; with RESOURCE_EXHAUSTED when there is no room for it, as the client has not taken what it
    /// was sent before.
    package func finish(_ message: consuming ByteBuffer) {
        guard let counted = method.connections.begin(reply: message.count, on: storage.pointee.call) else {
            return finish(Status.repliesNotTaken(method.connections))
        }
        sent = counted
        storage.pointee.reply = message.release()
        send(.ok)
    }

    /// Answers with a status that is not OK.
    package func finish(_ status: Status) {
        prepare(status)
        send(status.code)
    }

    private func send(_ code: Status.Code) {
        assertNoLockIsHeld()
        let tag = tag(event: Event.finished)
        guard dcf_finish(storage, 1, code.rawValue, tag) != GRPC_CALL_OK else { return }
        CompletionTag.forget(tag)
        if let sent { method.connections.end(sent, isSent: false) }
        sent = nil
    }
}
