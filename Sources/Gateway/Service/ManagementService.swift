internal import FunctionConfig
internal import GRPC
internal import GatewayProtocol

/// The calls that look at functions and change what is deployed.
final class ManagementService: Sendable {
    private let registry: FunctionRegistry
    private let gate: CallGate
    private let about: GatewayInfo

    init(registry: FunctionRegistry, gate: CallGate, about: GatewayInfo) {
        self.registry = registry
        self.gate = gate
        self.about = about
    }

    func list(_ call: ServerCall) async throws(Status) {
        let _: Pb_Empty = try await call.request()
        var reply = Pb_Functions()
        reply.functions = await registry.all.map { Pb_Function($0, detail: false) }
        try await call.send(reply)
    }

    func getMeta(_ call: ServerCall) async throws(Status) {
        let request: Pb_FunctionRequest = try await call.request()
        let function = try await find(request.functionName)
        try await call.send(Pb_Function(function, detail: true))
    }

    func delete(_ call: ServerCall) async throws(Status) {
        let request: Pb_DeleteFunctionRequest = try await call.request()
        let name = request.functionName
        try await change(call, "function \"\(name)\" is deleted") { [registry] () throws(FunctionError) in
            try await registry.delete(name)
        }
    }

    func scale(_ call: ServerCall) async throws(Status) {
        let request: Pb_ScaleServiceRequest = try await call.request()
        let (name, most) = (request.serviceName, request.replicas)
        let least = request.hasMinReplicas ? request.minReplicas : most
        let range = ReplicaRange(min: Int(clamping: least), max: Int(clamping: most))
        let text = request.hasMinReplicas ? "\(least) to \(most)" : "\(most)"
        try await change(call, "function \"\(name)\" has \(text) replicas") { [registry] () throws(FunctionError) in
            try await registry.scale(name, to: range)
        }
    }

    func versions(_ call: ServerCall) async throws(Status) {
        let request: Pb_FunctionRequest = try await call.request()
        let function = try await find(request.functionName)
        var reply = Pb_FunctionVersions()
        reply.versions = function.versions.map { Pb_FunctionVersion($0, of: function) }
        try await call.send(reply)
    }

    func rollback(_ call: ServerCall) async throws(Status) {
        let request: Pb_RollbackRequest = try await call.request()
        let version: Int
        do throws(FunctionError) {
            version = try await registry.rollBack(
                request.functionName, to: request.version == 0 ? nil : request.version)
        } catch { throw error.status }
        var reply = Pb_Message()
        reply.msg = "version \(version) of function \"\(request.functionName)\" gets all its calls"
        try await call.send(reply)
    }

    func setTraffic(_ call: ServerCall) async throws(Status) {
        let request: Pb_TrafficRequest = try await call.request()
        let (name, weights) = (request.functionName, request.traffic.map { (version: $0.version, weight: $0.weight) })
        let text = weights.map { "\($0.version)=\($0.weight)" }.joined(separator: " ")
        try await change(call, "traffic of function \"\(name)\": \(text)") { [registry] () throws(FunctionError) in
            try await registry.setTraffic(name, weights)
        }
    }

    func restart(_ call: ServerCall) async throws(Status) {
        let request: Pb_FunctionRequest = try await call.request()
        let name = request.functionName
        try await change(call, "function \"\(name)\" is restarted") { [registry] () throws(FunctionError) in
            try await registry.restart(name)
        }
    }

    func info(_ call: ServerCall) async throws(Status) {
        let _: Pb_Empty = try await call.request()
        var reply = Pb_Message()
        reply.msg = about.text(functions: await registry.all.count)
        reply.deploy = about.deploy == .image ? .asImage : .asProcess
        try await call.send(reply)
    }

    func healthCheck(_ call: ServerCall) async throws(Status) {
        let _: Pb_Empty = try await call.request()
        guard gate.isOpen else { throw CallFailure.draining.status }
        var reply = Pb_Message()
        reply.msg = "OK"
        try await call.send(reply)
    }

    private func find(_ name: String) async throws(Status) -> DeployedFunction {
        do throws(FunctionError) { return try await registry.function(named: name) } catch { throw error.status }
    }

    private func change(
        _ call: ServerCall, _ done: String, _ work: @Sendable () async throws(FunctionError) -> Void
    ) async throws(Status) {
        do throws(FunctionError) { try await work() } catch { throw error.status }
        var reply = Pb_Message()
        reply.msg = done
        try await call.send(reply)
    }
}
