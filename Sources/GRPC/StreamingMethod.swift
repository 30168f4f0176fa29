internal import CGRPC

/// A registered method whose calls have any number of messages: it keeps requests for calls posted and hands each call
/// to the handler that `serve` makes for it.
final class StreamingMethod: @unchecked Sendable {
    // @unchecked: set once; the core's pointers may be used from any thread.
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
