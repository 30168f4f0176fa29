internal import CGRPC

/// A registered method of a server: it keeps requests for calls posted and hands each call to the handler.
final class UnaryMethod: @unchecked Sendable {
    // @unchecked: set once; the core's pointers may be used from any thread.
    private let server: OpaquePointer
    private let method: UnsafeMutableRawPointer
    private let bound: CompletionQueue
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
