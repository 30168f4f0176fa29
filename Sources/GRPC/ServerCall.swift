internal import CGRPC
package import Platform
internal import Synchronization

/// A server's call for async code, with any number of messages each way.
///
/// One task may receive and one may send at a time. It must be finished exactly once.
package final class ServerCall: CoreCall, @unchecked Sendable {
    // @unchecked: only the core writes the storage, and it is read after the event that says so.

    private enum Event {
        static let arrived: UInt8 = 0
        static let closed: UInt8 = 1
    }

    private let server: Server
    private let sentInitial = Atomic<Bool>(false)
    private let closing = Lock(Closing())

    private struct Closing {
        var isClosed = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    /// The path of the call's method: `/package.Service/Method`.
    package private(set) var method = ""
    package private(set) var metadata = Metadata()
    package private(set) var deadline = MonotonicTime.never

    private init(server: Server) {
        self.server = server
    }

    /// Asks the core for one more call of a method that is not registered.
    static func post(on server: Server) {
        let call = ServerCall(server: server)
        let tag = call.tag(event: Event.arrived)
        let error = dcf_request_any(server.handle, call.storage, server.queue.handle, server.queue.handle, tag)
        if error != GRPC_CALL_OK { CompletionTag.forget(tag) }
    }

    package override func complete(event: UInt8, success: Bool) {
        switch event {
        case Event.arrived:
            guard success else { return }
            method = storage.pointee.details.method.text
            deadline = MonotonicTime(core: storage.pointee.details.deadline)
            metadata = Metadata(copying: storage.pointee.metadata)
            let tag = tag(event: Event.closed)
            if dcf_watch_close(storage, tag) != GRPC_CALL_OK { CompletionTag.forget(tag) }
            Self.post(on: server)
            if case .terminated = server.arrived.yield(self) {
                refuse(Status(.unavailable, "the gateway is shutting down", metadata: ["dcf-executed": "no"]))
            }
        default:
            let waiter = closing.withLock { closing in
                closing.isClosed = true
                defer { closing.waiter = nil }
                return closing.waiter
            }
            assertNoLockIsHeld()
            waiter?.resume()
        }
    }

    /// Returns when the call has ended: finished, or left by the client.
    package func closed() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isClosed = closing.withLock { closing in
                    if closing.isClosed || Task.isCancelled { return true }
                    closing.waiter = continuation
                    return false
                }
                if isClosed { continuation.resume() }
            }
        } onCancel: {
            let waiter = closing.withLock { closing in
                defer { closing.waiter = nil }
                return closing.waiter
            }
            waiter?.resume()
        }
    }

    /// The next message; nil when the client will send no more, or has left.
    ///
    /// - Throws: why the message was refused.
    package func receive() async throws(MessageRefusal) -> [UInt8]? {
        let slot = UnsafeMutablePointer<UnsafeMutablePointer<grpc_byte_buffer>?>.allocate(capacity: 1)
        slot.initialize(to: nil)
        defer { slot.deallocate() }
        let success = await withContinuationTag { tag in
            dcf_receive_message(storage.pointee.call, slot, tag)
        }
        guard let message = slot.pointee else { return nil }
        let buffer = ByteBuffer(owning: message)
        if let refusal = buffer.refusal { throw refusal }
        return success ? buffer.bytes : nil
    }

    /// Sends one message, and returns when the core has taken it, so that a slow client slows the sender.
    ///
    /// - Throws: CANCELLED when the client has left, RESOURCE_EXHAUSTED when earlier messages that it has not read
    ///   leave no room.
    package func send(_ message: [UInt8]) async throws(Status) {
        guard let sent = server.connections.begin(reply: message.count, on: storage.pointee.call) else {
            throw Status.repliesNotTaken(server.connections)
        }
        let initial = sentInitial.exchange(true, ordering: .relaxed) ? 0 : 1
        let buffer = ByteBuffer(message).release()
        let success = await withContinuationTag { tag in
            dcf_send_message(storage.pointee.call, Int32(initial), buffer, tag)
        }
        grpc_byte_buffer_destroy(buffer)
        server.connections.end(sent, isSent: success)
        guard success else { throw Status(.cancelled, "the caller has left") }
    }

    /// Ends the call, and returns when the core has taken the status.
    package func finish(_ status: Status) async {
        prepare(status)
        let initial = sentInitial.exchange(true, ordering: .relaxed) ? 0 : 1
        _ = await withContinuationTag { tag in
            dcf_finish(storage, Int32(initial), status.code.rawValue, 0, tag)
        }
    }

    private func refuse(_ status: Status) {
        prepare(status)
        let tag = Ignored(self).tag(event: 0)
        let error = dcf_finish(storage, 1, status.code.rawValue, 0, tag)
        if error != GRPC_CALL_OK { CompletionTag.forget(tag) }
    }

    /// Keeps a call alive until its last event.
    private final class Ignored: CompletionTag {
        private let call: ServerCall

        init(_ call: ServerCall) {
            self.call = call
        }

        override func complete(event: UInt8, success: Bool) {}
    }
}
