internal import FunctionConfig
internal import GRPC
internal import GatewayProtocol

/// Deploys and updates: told as they happen (`DeployWatch`), or answered at the end (`Deploy`, `Update`).
final class DeployService: Sendable {
    private let registry: FunctionRegistry

    init(registry: FunctionRegistry) {
        self.registry = registry
    }

    func watch(_ call: ServerCall) async throws(Status) {
        let request: Pb_CreateFunctionRequest = try await call.request()
        // Bounded: a caller that does not read must not make the gateway keep all that pip says.
        let (events, feed) = AsyncStream.makeStream(of: DeployProgress.self, bufferingPolicy: .bufferingNewest(10_000))
        async let outcome = Self.deploy(
            DeployRequest(request, ifExists: .init(request.ifExists), mustExist: false), registry, feed)
        var left: Status?
        for await event in events where left == nil {
            do throws(Status) { try await call.send(Pb_DeployEvent(event)) } catch { left = error }
        }
        let function = try await outcome.get()
        if let left { throw left }
        var done = Pb_DeployEvent()
        done.done = Pb_Function(function, detail: true)
        try await call.send(done)
    }

    func unary(_ call: ServerCall, isUpdate: Bool) async throws(Status) {
        let request: Pb_CreateFunctionRequest = try await call.request()
        let (_, feed) = AsyncStream.makeStream(of: DeployProgress.self, bufferingPolicy: .bufferingNewest(1))
        let ifExists = isUpdate ? DeployRequest.IfExists.update : .init(request.ifExists)
        let function = try await Self.deploy(
            DeployRequest(request, ifExists: ifExists, mustExist: isUpdate), registry, feed
        ).get()
        var reply = Pb_Message()
        reply.msg = "function \"\(function.name)\" is Ready"
        try await call.send(reply)
    }

    private static func deploy(
        _ request: DeployRequest, _ registry: FunctionRegistry, _ feed: AsyncStream<DeployProgress>.Continuation
    ) async -> Result<DeployedFunction, Status> {
        defer { feed.finish() }
        do throws(FunctionError) {
            return .success(try await registry.deploy(request) { feed.yield($0) })
        } catch {
            return .failure(error.status)
        }
    }
}

extension DeployRequest {
    init(_ request: Pb_CreateFunctionRequest, ifExists: IfExists, mustExist: Bool) {
        self.init(
            name: request.service, deploy: .init(request.deploy), image: request.image,
            registryAuthorization: request.registryAuth, secrets: request.secrets, constraints: request.constraints,
            config: request.config,
            bundle: request.bundle,
            environment: request.envVars, labels: request.labels, annotations: request.annotations,
            ifExists: ifExists, mustExist: mustExist)
    }
}

extension DeployKind {
    /// Nil where the request does not say.
    init?(_ kind: Pb_DeployKind) {
        switch kind {
        case .asProcess: self = .process
        case .asImage: self = .image
        default: return nil
        }
    }
}

extension DeployRequest.IfExists {
    init(_ existing: Pb_Existing) {
        switch existing {
        case .update: self = .update
        case .replace: self = .replace
        default: self = .refuse
        }
    }
}

extension Pb_DeployEvent {
    init(_ progress: DeployProgress) {
        self.init()
        switch progress {
        case .step(let text): self.progress = text
        case .output(let line): output = line
        case .traceback(let text): traceback = text
        }
    }
}
