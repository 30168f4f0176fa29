package import Calls
internal import FunctionConfig
package import GatewayProtocol

/// Shows and changes functions. Its methods take and return the messages of the protocol, so that every front can offer
/// them.
package final class ManagementService: Sendable {
    private let registry: FunctionRegistry
    private let about: GatewayInfo

    init(registry: FunctionRegistry, about: GatewayInfo) {
        self.registry = registry
        self.about = about
    }

    package func list(_ request: Pb_Empty) async -> Pb_Functions {
        var reply = Pb_Functions()
        reply.functions = await registry.all.map { Pb_Function($0, detail: false) }
        return reply
    }

    package func getMeta(_ request: Pb_FunctionRequest) async throws(CallFailure) -> Pb_Function {
        Pb_Function(try await find(request.functionName), detail: true)
    }

    package func delete(_ request: Pb_DeleteFunctionRequest) async throws(CallFailure) -> Pb_Message {
        try await telling { () throws(FunctionError) in try await registry.delete(request.functionName) }
        return Self.done("function \"\(request.functionName)\" is deleted")
    }

    package func scale(_ request: Pb_ScaleServiceRequest) async throws(CallFailure) -> Pb_Message {
        let most = request.replicas
        let least = request.hasMinReplicas ? request.minReplicas : most
        let range = ReplicaRange(min: Int(clamping: least), max: Int(clamping: most))
        try await telling { () throws(FunctionError) in try await registry.scale(request.serviceName, to: range) }
        let text = request.hasMinReplicas ? "\(least) to \(most)" : "\(most)"
        return Self.done("function \"\(request.serviceName)\" has \(text) replicas")
    }

    package func versions(_ request: Pb_FunctionRequest) async throws(CallFailure) -> Pb_FunctionVersions {
        let function = try await find(request.functionName)
        var reply = Pb_FunctionVersions()
        reply.versions = function.versions.map { Pb_FunctionVersion($0, of: function) }
        return reply
    }

    package func rollback(_ request: Pb_RollbackRequest) async throws(CallFailure) -> Pb_Message {
        let version = try await telling { () throws(FunctionError) in
            try await registry.rollBack(request.functionName, to: request.version == 0 ? nil : request.version)
        }
        return Self.done("version \(version) of function \"\(request.functionName)\" gets all its calls")
    }

    package func setTraffic(_ request: Pb_TrafficRequest) async throws(CallFailure) -> Pb_Message {
        let weights = request.traffic.map { (version: $0.version, weight: $0.weight) }
        try await telling { () throws(FunctionError) in try await registry.setTraffic(request.functionName, weights) }
        let text = weights.map { "\($0.version)=\($0.weight)" }.joined(separator: " ")
        return Self.done("traffic of function \"\(request.functionName)\": \(text)")
    }

    package func restart(_ request: Pb_FunctionRequest) async throws(CallFailure) -> Pb_Message {
        try await telling { () throws(FunctionError) in try await registry.restart(request.functionName) }
        return Self.done("function \"\(request.functionName)\" is restarted")
    }

    package func info(_ request: Pb_Empty) async -> Pb_Message {
        var reply = Self.done(about.text(functions: await registry.all.count))
        reply.deploy = about.kind == .image ? .asImage : .asProcess
        return reply
    }

    private func find(_ name: String) async throws(CallFailure) -> DeployedFunction {
        try await telling { () throws(FunctionError) in try await registry.function(named: name) }
    }

    private static func done(_ text: String) -> Pb_Message {
        var reply = Pb_Message()
        reply.msg = text
        return reply
    }
}
