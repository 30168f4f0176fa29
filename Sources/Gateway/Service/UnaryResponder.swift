internal import GRPC

/// Gives the answer of an invocation to the gRPC call that it came with.
final class UnaryResponder: InvocationResponder {
    private let call: UnaryCall
    private let gate: CallGate

    init(_ call: UnaryCall, gate: CallGate) {
        self.call = call
        self.gate = gate
    }

    func reply(_ message: consuming ByteBuffer, requestID: String) {
        call.finish(message)
        gate.leave()
    }

    func fail(_ failure: CallFailure, requestID: String) {
        refuse(failure, requestID: requestID)
        gate.leave()
    }

    /// Answers a call that the gate did not let in.
    func refuse(_ failure: CallFailure, requestID: String) {
        var status = failure.status
        status.metadata[CallMetadata.requestIDKey] = requestID
        call.finish(status)
    }

    func watchClose(_ body: @escaping @Sendable () -> Void) {
        call.watchClose(body)
    }
}
