internal import CGRPC
internal import Platform

/// A client's call with any number of messages each way. One task may send and one may receive at a time.
package final class ClientCall: @unchecked Sendable {
    // @unchecked: only the core writes the storage, and it is read after the event that says so.
    private let storage: UnsafeMutablePointer<dcf_client_storage>
    /// Keeps the queue alive as long as the call.
    private let channel: Channel
    private let outcome = Lock(Outcome())

    private struct Outcome {
        var status: Status?
        var waiters: [CheckedContinuation<Status, Never>] = []
    }

    init(_ call: OpaquePointer, channel: Channel, metadata: Metadata) {
        self.channel = channel
        storage = .allocate(capacity: 1)
        dcf_client_storage_init(storage)
        storage.pointee.call = call
        attach(metadata)
        start(Begun(self)) { dcf_client_begin(storage, $0) }
        start(Ended(self)) { dcf_client_receive_status(storage, $0) }
    }

    deinit {
        dcf_client_storage_destroy(storage)
        storage.deallocate()
    }

    private func attach(_ metadata: Metadata) {
        let count = metadata.pairs.count
        guard count > 0, let memory = gpr_zalloc(count * MemoryLayout<grpc_metadata>.stride) else { return }
        let entries = memory.bindMemory(to: grpc_metadata.self, capacity: count)
        for (index, pair) in metadata.pairs.enumerated() {
            entries[index].key = grpc_slice(pair.key)
            entries[index].value = grpc_slice(pair.value)
        }
        storage.pointee.sent = entries
        storage.pointee.sent_count = count
    }

    private func start(_ tag: CompletionTag, _ ask: (UnsafeMutableRawPointer?) -> grpc_call_error) {
        let pointer = tag.tag(event: 0)
        guard ask(pointer) != GRPC_CALL_OK else { return }
        CompletionTag.forget(pointer)
        end(Status(.internal, "the gRPC core did not start the call"))
    }

    private func end(_ status: Status) {
        let waiters = outcome.withLock { outcome in
            if outcome.status == nil { outcome.status = status }
            defer { outcome.waiters = [] }
            return outcome.waiters
        }
        assertNoLockIsHeld()
        for waiter in waiters { waiter.resume(returning: status) }
    }

    /// How the call ended; waits for the end.
    package func status() async -> Status {
        await withCheckedContinuation { continuation in
            let status = outcome.withLock { outcome in
                if outcome.status == nil { outcome.waiters.append(continuation) }
                return outcome.status
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    /// The trailers; empty while the call is under way.
    package var trailers: Metadata {
        outcome.withLock { $0.status?.metadata ?? Metadata() }
    }

    /// Sends one message, and returns when the core has taken it.
    ///
    /// - Throws: the call's status, where the call is known to have ended. A message to a call that has ended is lost.
    package func send(_ message: [UInt8]) async throws(Status) {
        let buffer = ByteBuffer(message).release()
        let success = await cancelling {
            await withContinuationTag { dcf_send_message(storage.pointee.call, 0, buffer, $0) }
        }
        grpc_byte_buffer_destroy(buffer)
        if !success { try checkStatus() }
    }

    /// Tells the server that no more messages will come.
    package func closeSend() async throws(Status) {
        let success = await cancelling {
            await withContinuationTag { dcf_client_close_send(storage.pointee.call, $0) }
        }
        if !success { try checkStatus() }
    }

    /// Throws the status where it is known. The call has ended before the server had everything. The core tells the
    /// status only when all messages have been received, so this does not wait for it: `receive` throws it in its turn.
    private func checkStatus() throws(Status) {
        let status = outcome.withLock { $0.status }
        if let status, status.code != .ok { throw status }
    }

    /// The next message; nil when the call has ended with OK.
    ///
    /// - Throws: the status, when the call has ended with another one.
    package func receive() async throws(Status) -> [UInt8]? {
        let slot = UnsafeMutablePointer<UnsafeMutablePointer<grpc_byte_buffer>?>.allocate(capacity: 1)
        slot.initialize(to: nil)
        defer { slot.deallocate() }
        _ = await cancelling {
            await withContinuationTag { dcf_receive_message(storage.pointee.call, slot, $0) }
        }
        if let message = slot.pointee {
            return ByteBuffer(owning: message).bytes
        }
        let status = await status()
        guard status.code == .ok else { throw status }
        return nil
    }

    /// Cancels the call; tasks that wait for it get CANCELLED.
    package func cancel() {
        grpc_call_cancel(storage.pointee.call, nil)
    }

    /// Ends the call when the task is cancelled: the core itself waits as long as the call lives.
    private func cancelling(_ wait: () async -> Bool) async -> Bool {
        await withTaskCancellationHandler {
            await wait()
        } onCancel: {
            cancel()
        }
    }

    private final class Begun: CompletionTag {
        private let call: ClientCall

        init(_ call: ClientCall) {
            self.call = call
        }

        override func complete(event: UInt8, success: Bool) {}
    }

    private final class Ended: CompletionTag {
        private let call: ClientCall

        init(_ call: ClientCall) {
            self.call = call
        }

        override func complete(event: UInt8, success: Bool) {
            let storage = call.storage.pointee
            let code = StatusCode(rawValue: UInt32(bitPattern: storage.status.rawValue)) ?? .unknown
            call.end(Status(code, storage.details.text, metadata: Metadata(copying: storage.trailing)))
        }
    }
}
