internal import CGRPC
internal import Platform
internal import Synchronization

/// A server of the core. It has no listener: connections come through ``adopt(_:)``.
///
/// Its life: `init`, any number of `register`, `start`, `adopt`, then `shutdown` and, when its calls have ended or are
/// out of time, `cancelAllCalls`. A call of a registered method goes to the method's handler on the queue's thread,
/// which is the hot path. All other calls come through ``calls``.
package final class Server: @unchecked Sendable {
    // @unchecked: the core's server may be used from any thread; everything else is set before `start`.
    let handle: OpaquePointer
    let queue: CompletionQueue
    let connections: Connections
    private let credentials: OpaquePointer
    private var methods: [UnaryMethod] = []
    private var streamingMethods: [StreamingMethod] = []

    /// How many streams of one method, and how many calls of methods that are not registered, may arrive before the
    /// first of them is handled.
    private static let streamDepth = 8

    /// The calls of methods that are not registered. The stream ends when the server shuts down.
    package let calls: AsyncStream<ServerCall>
    let arrived: AsyncStream<ServerCall>.Continuation

    /// - Parameters:
    ///   - queue: brings the arrival of each call.
    ///   - connections: counts the connections that `adopt` gets.
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
            // The gateway keeps the deadlines itself, since it also tells them to the watcher. The other two would cost
            // time on each call for nothing.
            dcf_arg_int(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0),
            dcf_arg_int(GRPC_ARG_ENABLE_CHANNELZ, 0),
            dcf_arg_int(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
            // The core would unpack a message before it checks its size.
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

    /// Registers a method with one request and one reply, before `start`. Its calls go to `handler` on a thread of the
    /// queue.
    ///
    /// - Parameters:
    ///   - path: `/package.Service/Method`.
    ///   - boundTo: the queue that gets the calls' events after their arrival: finished, or left by the client. It may
    ///     be another queue than the server's, so that the thread that answers a call also frees it.
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

    /// Registers a method with any number of messages each way, before `start`.
    ///
    /// - Parameters:
    ///   - path: `/package.Service/Method`.
    ///   - serve: makes the handler of a call. It runs on a thread of the queue and must not block.
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
    /// - Parameter depth: how many calls of a method with one request may arrive before the first of them is handled.
    package func start(depth: Int = 64) {
        grpc_server_start(handle)
        for method in methods {
            for _ in 0..<depth { method.post() }
        }
        for method in streamingMethods {
            for _ in 0..<Self.streamDepth { method.post() }
        }
        for _ in 0..<Self.streamDepth { ServerCall.post(on: self) }
    }

    /// Adds a connection by its connected, non-blocking socket, which the server owns from now on.
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

    /// Ends every call under way with CANCELLED. A `shutdown` that waits for them then returns.
    package func cancelAllCalls() {
        grpc_server_cancel_all_calls(handle)
    }
}

extension Duration {
    var milliseconds: Int32 {
        Int32(clamping: nanosecondsClamped / 1_000_000)
    }
}

/// The bounds that the core itself enforces: a last line behind the gateway's own limits. A value.
package struct ServerConfiguration: Sendable {
    /// The largest message that the core reads, in bytes. It is a little above the gateway's own limit, so that the
    /// caller gets the gateway's answer.
    package var maxReceiveBytes: Int
    /// The most metadata of a call, in bytes. Above it the core (1.51) ends the whole connection with all calls on it,
    /// so it must be far above the gateway's own limit.
    package var maxMetadataBytes: Int
    /// The most calls at a time on one connection.
    package var maxStreamsPerConnection: Int
    /// What the core may hold in buffers for all connections together, in bytes.
    package var memoryQuotaBytes: Int
    /// After how much silence a peer is asked whether it is still there.
    package var keepaliveTime: Duration
    /// How long a peer may take to answer that.
    package var keepaliveTimeout: Duration

    package init(
        maxReceiveBytes: Int, maxMetadataBytes: Int = 64 << 10, maxStreamsPerConnection: Int = 100,
        memoryQuotaBytes: Int = 1 << 30, keepaliveTime: Duration = .seconds(20),
        keepaliveTimeout: Duration = .seconds(10)
    ) {
        self.maxReceiveBytes = maxReceiveBytes
        self.maxMetadataBytes = maxMetadataBytes
        self.maxStreamsPerConnection = maxStreamsPerConnection
        self.memoryQuotaBytes = memoryQuotaBytes
        self.keepaliveTime = keepaliveTime
        self.keepaliveTimeout = keepaliveTimeout
    }
}
