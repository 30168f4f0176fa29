internal import GRPC
internal import GatewayProtocol

/// `grpc.health.v1.Health`: one name a function, the empty name the gateway
/// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
final class HealthService: Sendable {
    private typealias Serving = Grpc_Health_V1_HealthCheckResponse.ServingStatus

    private let registry: FunctionRegistry
    private let gate: CallGate
    private let changes: Changes

    init(registry: FunctionRegistry, gate: CallGate, changes: Changes) {
        self.registry = registry
        self.gate = gate
        self.changes = changes
    }

    /// A call without a message asks for the gateway: some load balancers cannot send bytes of zero, which begin a message.
    func check(_ call: ServerCall) async throws(Status) {
        let request = try await call.nextRequest(Grpc_Health_V1_HealthCheckRequest.self) ?? .init()
        let serving = await serving(request.service)
        guard serving != .serviceUnknown else {
            throw Status(
                .notFound, "function \"\(request.service)\" is not deployed", metadata: ["dcf-executed": "no"])
        }
        try await send(serving, call)
    }

    /// Sends the status now and whenever it changes, until the caller leaves.
    func watch(_ call: ServerCall) async throws(Status) {
        let request: Grpc_Health_V1_HealthCheckRequest = try await call.request()
        var last: Serving?
        while !Task.isCancelled {
            let change = changes.upcoming
            let serving = await serving(request.service)
            if serving != last {
                try await send(serving, call)
                last = serving
            }
            guard await change.value() != nil else { return }
        }
    }

    private func serving(_ name: String) async -> Serving {
        if name.isEmpty { return gate.isServing ? .serving : .notServing }
        do throws(FunctionError) {
            let function = try await registry.function(named: name)
            guard gate.isServing else { return .notServing }
            switch function.status {
            case .ready, .idle: return .serving
            case .degraded:
                let isReady = function.live.flatMap(\.replicas).contains { $0.phase == .ready }
                return isReady ? .serving : .notServing
            case .starting, .failed: return .notServing
            }
        } catch {
            return .serviceUnknown
        }
    }

    private func send(_ serving: Serving, _ call: ServerCall) async throws(Status) {
        var reply = Grpc_Health_V1_HealthCheckResponse()
        reply.status = serving
        try await call.send(reply)
    }
}
