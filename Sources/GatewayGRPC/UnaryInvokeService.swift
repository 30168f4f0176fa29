internal import Calls
internal import GRPC
internal import GatewayProtocol
internal import Platform

/// Serves `Invoke` and `InvokeBytes`: the hot path.
///
/// Everything here runs on a thread of the completion queue, until the call's frame is written to a watcher or the call
/// waits in its function's queue.
final class UnaryInvokeService: Sendable {
    private let invoker: Invoker

    init(invoker: Invoker) {
        self.invoker = invoker
    }

    func register(on server: Server, boundTo queue: CompletionQueue) {
        server.register(GatewayMethod.invoke.path, boundTo: queue) { [self] in
            accept(
                $0, .invoke,
                needsText:
                    "which Invoke must carry; call it with InvokeBytes, as dcf function call does, or return text")
        }
        server.register(GatewayMethod.invokeBytes.path, boundTo: queue) { [self] in
            accept($0, .invokeBytes, needsText: nil)
        }
    }

    private func accept(_ call: UnaryCall, _ method: GatewayMethod, needsText: StaticString?) {
        let context = InvocationContext(
            metadata: RequestMetadata(call), arrived: .now, deadline: call.deadline, needsText: needsText)
        let responder = UnaryResponder(call, context.metadata)
        guard let message = call.takeRequest() else {
            invoker.refuse(.malformedRequest(method), context, responder)
            return
        }
        guard !message.isCompressed, let scan = InvokeRequestScan(message) else {
            invoker.refuse(message.refusal.map { .refused($0) } ?? .malformedRequest(method), context, responder)
            return
        }
        invoker.invoke(
            scan.service, InvocationInput(RequestMessage(message), offset: scan.inputOffset, count: scan.inputCount),
            context, responder)
    }
}

/// Gives the answer of a call to the gRPC call that brought it.
private final class UnaryResponder: InvocationResponder {
    private let call: UnaryCall
    private let metadata: RequestMetadata

    init(_ call: UnaryCall, _ metadata: RequestMetadata) {
        self.call = call
        self.metadata = metadata
    }

    func takeRoom(for bytes: Int) -> CallFailure? {
        call.takeRoom(for: ReplyPrefix.length(count: bytes) + bytes).map(CallFailure.repliesNotTaken)
    }

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) {
        call.addTrailers(self.metadata)
        if !metadata.isEmpty { call.addTrailers(metadata) }
        call.finish(output.message())
    }

    func fail(_ failure: CallFailure) {
        call.addTrailers(metadata)
        call.addTrailers(failure.metadata)
        call.finish(Status(failure))
    }

    func watchClose(_ body: @escaping @Sendable () -> Void) {
        call.watchClose(body)
    }
}
