internal import GRPC
internal import GatewayProtocol
internal import Locks

/// `Invokes`: calls one after another over one stream.
final class InvokesService: Sendable {
    private let invoker: Invoker
    private let gate: CallGate
    /// Those that have not ended.
    private let streams = Lock<[ObjectIdentifier: InvokesStream]>([:])

    init(invoker: Invoker, gate: CallGate) {
        self.invoker = invoker
        self.gate = gate
    }

    func register(on server: Server) {
        server.registerStreaming(GatewayMethod.invokes) { [self] call in
            let stream = InvokesStream(call, invoker: invoker, gate: gate) { [self] in
                forget($0)
            }
            streams.withLock { $0[ObjectIdentifier(stream)] = stream }
            return stream
        }
    }

    private func forget(_ stream: InvokesStream) {
        _ = streams.withLock { $0.removeValue(forKey: ObjectIdentifier(stream)) }
    }

    /// Each stream ends after the request that it is at. After the gate was closed.
    func drain() {
        for stream in streams.withLock({ Array($0.values) }) { stream.drain() }
    }
}
