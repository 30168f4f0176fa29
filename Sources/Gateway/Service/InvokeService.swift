internal import GRPC
internal import GatewayProtocol
internal import Synchronization

/// `Invoke` and `InvokeBytes`: the hot path. Everything here runs on a completion queue's thread, up to the moment when
/// the call's frame is written to a watcher or the call waits in its function's queue.
final class InvokeService: Sendable {
    private let routes: RouteTable
    private let sweeper: Sweeper
    private let gate: CallGate
    private let maxInputBytes: Int

    init(routes: RouteTable, sweeper: Sweeper, gate: CallGate, maxInputBytes: Int) {
        self.routes = routes
        self.sweeper = sweeper
        self.gate = gate
        self.maxInputBytes = maxInputBytes
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
        let arrived = MonotonicTime.now
        // Also for a call that is refused: its last event is completed there.
        sweeper.wake()
        let metadata = CallMetadata(call)
        let responder = UnaryResponder(call, gate: gate)
        guard gate.enter() else {
            responder.refuse(.draining, requestID: metadata.requestID)
            return
        }
        guard let message = call.takeRequest(), let scan = InvokeRequestScan(message) else {
            responder.fail(.malformedRequest(method), requestID: metadata.requestID)
            return
        }
        guard scan.inputCount <= maxInputBytes else {
            responder.fail(.inputTooLarge(scan.inputCount, limit: maxInputBytes), requestID: metadata.requestID)
            return
        }
        guard let route = routes.route(of: scan.service) else {
            responder.fail(routes.unknown(scan.service), requestID: metadata.requestID)
            return
        }
        route.admit(
            Invocation(
                responder: responder,
                input: InvocationInput(message: message, offset: scan.inputOffset, count: scan.inputCount),
                requestID: metadata.requestID, metadata: metadata.encoded, wantsText: wantsText, arrived: arrived,
                deadline: call.deadline))
    }
}
