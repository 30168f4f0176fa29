internal import GRPC
internal import GatewayProtocol

/// `Invoke` and `InvokeBytes`: the hot path. Everything here runs on a completion queue's thread, up to the moment when
/// the call's frame is written to a watcher or the call waits in its function's queue.
final class InvokeService: Sendable {
    private let invoker: Invoker
    private let sweeper: Sweeper
    private let gate: CallGate

    init(invoker: Invoker, sweeper: Sweeper, gate: CallGate) {
        self.invoker = invoker
        self.sweeper = sweeper
        self.gate = gate
    }

    func register(on server: Server, boundTo queue: CompletionQueue) {
        server.register(GatewayMethod.invoke, boundTo: queue) { [self] in
            accept($0, method: GatewayMethod.invoke, wantsText: true)
        }
        server.register(GatewayMethod.invokeBytes, boundTo: queue) { [self] in
            accept($0, method: GatewayMethod.invokeBytes, wantsText: false)
        }
    }

    private func accept(_ call: UnaryCall, method: String, wantsText: Bool) {
        // Also for a call that is refused: its last event is completed there.
        sweeper.wake()
        let context = InvocationContext(
            metadata: RequestMetadata(call), arrived: .now, deadline: call.deadline, wantsText: wantsText)
        let responder = UnaryResponder(call, gate: gate)
        guard gate.enter() else {
            responder.refuse(.draining, context)
            return
        }
        guard let message = call.takeRequest() else {
            responder.fail(.malformedRequest(method), context)
            return
        }
        guard !message.isCompressed, let scan = InvokeRequestScan(message) else {
            responder.fail(message.refusal.map { .refused($0) } ?? .malformedRequest(method), context)
            return
        }
        invoker.invoke(
            scan.service, InvocationInput(message: message, offset: scan.inputOffset, count: scan.inputCount),
            context, responder)
    }
}
