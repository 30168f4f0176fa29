internal import CGRPC
internal import Platform
internal import Synchronization

/// A client's connection to a server, without encryption. All calls of a channel share its one connection. Any task may
/// use it.
package final class Channel: @unchecked Sendable {
    // @unchecked: the core's channel may be used from any thread, and `close` destroys it once.
    private let handle: OpaquePointer
    private let queue: CompletionQueue
    private let isClosed = Atomic<Bool>(false)

    /// - Parameters:
    ///   - target: `HOST:PORT`.
    ///   - maxMessageBytes: the largest reply that is accepted; -1 accepts any.
    package init(target: String, maxMessageBytes: Int = -1) {
        _ = Core.started
        queue = CompletionQueue(name: "grpc-client", threads: 1)
        let arguments: [grpc_arg] = [
            dcf_arg_int(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, Int32(clamping: maxMessageBytes)),
            dcf_arg_int(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
            dcf_arg_int(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
            dcf_arg_int(GRPC_ARG_ENABLE_RETRIES, 0),
            dcf_arg_int(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        ]
        let credentials = grpc_insecure_credentials_create()
        defer { grpc_channel_credentials_release(credentials) }
        handle = arguments.withUnsafeBufferPointer { buffer in
            var channelArguments = grpc_channel_args(
                num_args: buffer.count, args: UnsafeMutablePointer(mutating: buffer.baseAddress))
            guard let channel = grpc_channel_create(target, credentials, &channelArguments) else {
                preconditionFailure("the gRPC core made no channel")
            }
            return channel
        }
    }

    deinit {
        close()
    }

    /// Ends the connection. All calls must have ended.
    package func close() {
        guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        grpc_channel_destroy(handle)
        queue.shutdown()
    }

    /// Sends one request and returns its one reply.
    ///
    /// - Parameter timeout: after this time the call ends with DEADLINE_EXCEEDED; nil waits for ever.
    package func unary(
        _ method: String, _ request: [UInt8], metadata: Metadata = Metadata(), timeout: Duration? = nil
    ) async throws(Status) -> [UInt8] {
        let call = try call(method, metadata: metadata, timeout: timeout)
        try await call.send(request)
        try await call.closeSend()
        guard let reply = try await call.receive() else {
            throw Status(.internal, "the server ended \(method) without a reply")
        }
        _ = try await call.receive()
        return reply
    }

    /// Begins a call with any number of messages.
    package func call(
        _ method: String, metadata: Metadata = Metadata(), timeout: Duration? = nil
    ) throws(Status) -> ClientCall {
        var deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC)
        if let timeout {
            deadline = gpr_time_add(
                gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(timeout.nanosecondsClamped, GPR_TIMESPAN))
        }
        let path = grpc_slice(method)
        defer { grpc_slice_unref(path) }
        guard let call = dcf_channel_call(handle, queue.handle, path, deadline) else {
            throw Status(.internal, "the gRPC core made no call to \(method)")
        }
        return ClientCall(call, channel: self, metadata: metadata)
    }
}
