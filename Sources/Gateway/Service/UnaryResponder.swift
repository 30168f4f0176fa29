internal import GRPC

/// Gives the answer of an invocation to the gRPC call that it came with.
final class UnaryResponder: InvocationResponder {
    private let call: UnaryCall
    private let gate: CallGate

    init(_ call: UnaryCall, gate: CallGate) {
        self.call = call
        self.gate = gate
    }

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata, _ context: InvocationContext) {
        call.addTrailers(context.metadata)
        if !metadata.isEmpty { call.addTrailers(metadata) }
        call.finish(output.message())
        gate.leave()
    }

    func fail(_ failure: CallFailure, _ context: InvocationContext) {
        refuse(failure, context)
        gate.leave()
    }

    /// Answers a call that the gate did not let in.
    func refuse(_ failure: CallFailure, _ context: InvocationContext) {
        call.addTrailers(context.metadata)
        call.addTrailers(failure.metadata)
        call.finish(failure.status)
    }

    func watchClose(_ body: @escaping @Sendable () -> Void) {
        call.watchClose(body)
    }
}
