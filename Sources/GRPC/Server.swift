internal import CGRPC
internal import Synchronization

/// A server of the core: no listener of its own, connections come through ``adopt(_:)``.
///
/// Life: `init`, any number of `register`, `start`, `adopt`, then `shutdown` and, when its calls are done or out of
/// time, `cancelAllCalls`. Two kinds of calls come out of it: those of a registered method go to its handler on the
/// queue's thread (the hot path), all others come through ``calls``.
package final class Server: @unchecked Sendable {
    // @unchecked: the core's server may be used from any thread; the rest is set before `start`.
    let handle: OpaquePointer
    let queue: CompletionQueue
    let connections: Connections
    private let credentials: OpaquePointer
    private var methods: [UnaryMethod] = []
    private var streamingMethods: [StreamingMethod] = []

    /// The calls of methods that are not registered. They end when the server shuts down.
    package let calls: AsyncStream<ServerCall>
    let arrived: AsyncStream<ServerCall>.Continuation

    /// - Parameter connections: those that `adopt` is given the sockets of.
    package init(configuration: ServerConfiguration, queue: CompletionQueue, connections: Connections) {
        _ = Core.started
        let quota = grpc_resource_quota_create("dcf")
        grpc_resource_quota_resize(quota, configuration.memoryQuotaBytes)
        defer { grpc_resource_quota_unref(quota) }
        let arguments: [grpc_arg] = [
            dcf_arg_quota(quota),
            dcf_arg_int(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, Int32(clamping: configuration.maxReceiveBytes)),
            dcf_arg_int(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
            dcf_arg_int(GRPC_ARG_MAX_METADATA_SIZE, Int32(clamping: configuration.maxMetadataBytes)),
            dcf_arg_int(GRPC_ARG_MAX_CONCURRENT_STREAMS, Int32(clamping: configuration.maxStreamsPerConnection)),
            dcf_arg_int(GRPC_ARG_KEEPALIVE_TIME_MS, configuration.keepaliveTime.milliseconds),
            dcf_arg_int(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, configuration.keepaliveTimeout.milliseconds),
            dcf_arg_int(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
            dcf_arg_int(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
            dcf_arg_int(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5_000),
            // Large inputs come in large frames and reads: fewer slices, fewer system calls.
            dcf_arg_int(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20),
            dcf_arg_int(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1 << 20),
            dcf_arg_int(GRPC_ARG_TCP_READ_CHUNK_SIZE, 64 << 10),
            // Deadlines are the gateway's: it also tells the watcher. The others cost time on each call for nothing.
            dcf_arg_int(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0),
            dcf_arg_int(GRPC_ARG_ENABLE_CHANNELZ, 0),
            dcf_arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
            // The core unpacks first and asks for the size afterwards.
            dcf_arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        ]
        handle = arguments.withUnsafeBufferPointer { buffer in
            var channelArguments = grpc_channel_args(
                num_args: buffer.count, args: UnsafeMutablePointer(mutating: buffer.baseAddress))
            guard let server = grpc_server_create(&channelArguments, nil) else {
                preconditionFailure("the gRPC core made no server")
            }
            return server
        }
        self.queue = queue
        self.connections = connections
        credentials = grpc_insecure_server_credentials_create()
        grpc_server_register_completion_queue(handle, queue.handle, nil)
        (calls, arrived) = AsyncStream.makeStream(of: ServerCall.self)
    }

    deinit {
        grpc_server_credentials_release(credentials)
        grpc_server_destroy(handle)
    }

    /// Names a method whose calls, each with its one request, go to `handler` on a thread of the queue. Before `start`.
    ///
    /// - Parameters:
    ///   - path: `/package.Service/Method`.
    ///   - boundTo: the queue that the calls' own events go to.
    ///   - handler: must not block.
    package func register(
        _ path: String, boundTo bound: CompletionQueue, handler: @escaping @Sendable (UnaryCall) -> Void
    ) {
        guard
            let method = grpc_server_register_method(
                handle, path, nil, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0)
        else { preconditionFailure("the gRPC core did not register \(path)") }
        methods.append(
            UnaryMethod(
                server: handle, method: method, bound: bound, notified: queue, connections: connections,
                handler: handler))
    }

    /// Names a method whose calls have any number of messages each way. Before `start`.
    ///
    /// - Parameters:
    ///   - path: `/package.Service/Method`.
    ///   - serve: makes the one who serves a call; runs on a thread of the queue, and must not block.
    package func registerStreaming(
        _ path: String, serve: @escaping @Sendable (StreamingCall) -> any StreamingCallHandler
    ) {
        guard let method = grpc_server_register_method(handle, path, nil, GRPC_SRM_PAYLOAD_NONE, 0) else {
            preconditionFailure("the gRPC core did not register \(path)")
        }
        streamingMethods.append(
            StreamingMethod(server: handle, method: method, queue: queue, connections: connections, serve: serve))
    }

    /// Begins to take calls.
    ///
    /// - Parameter depth: how many calls of a method may arrive before the first of them is looked at.
    package func start(depth: Int = 64) {
        grpc_server_start(handle)
        for method in methods {
            for _ in 0..<depth { method.post() }
        }
        for method in streamingMethods {
            for _ in 0..<8 { method.post() }
        }
        for _ in 0..<8 { ServerCall.post(on: self) }
    }

    /// Takes over a connected, non-blocking socket.
    package func adopt(_ descriptor: Int32) {
        grpc_server_add_channel_from_fd(handle, descriptor, credentials)
    }

    /// Takes no more calls, and returns when those under way have ended and every connection is closed.
    package func shutdown() async {
        arrived.finish()
        _ = await withContinuationTag { tag in
            grpc_server_shutdown_and_notify(handle, queue.handle, tag)
            return GRPC_CALL_OK
        }
    }

    /// Ends every call under way with CANCELLED, and so also a `shutdown` that waits for them.
    package func cancelAllCalls() {
        grpc_server_cancel_all_calls(handle)
    }
}

extension Duration {
    var milliseconds: Int32 {
        Int32(clamping: nanosecondsClamped / 1_000_000)
    }
}
