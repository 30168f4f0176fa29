package import Calls
internal import FunctionConfig
package import GatewayProtocol

/// Deploys and updates functions. A caller can follow the events of a deploy, or get an answer at the end.
package final class DeployService: Sendable {
    private let registry: FunctionRegistry

    init(registry: FunctionRegistry) {
        self.registry = registry
    }

    /// Deploys a function and reports each event. The last event holds the function.
    ///
    /// - Parameter tell: gets each event. After it has thrown, it is not called again, and the deploy goes on. Up to
    ///   10,000 events wait for it; after that the oldest events are dropped.
    package func deploy<Failure: Error>(
        _ request: Pb_CreateFunctionRequest, _ tell: (Pb_DeployEvent) async throws(Failure) -> Void
    ) async throws(CallFailure) -> Result<Void, Failure> {
        // Bounded: the gateway must not keep all of pip's output for a caller that does not read.
        let (events, feed) = AsyncStream.makeStream(of: DeployEvent.self, bufferingPolicy: .bufferingNewest(10_000))
        async let outcome = Self.deploy(
            DeployRequest(request, ifExists: .init(request.ifExists), mustExist: false), registry, feed)
        var left: Failure?
        for await event in events where left == nil {
            do throws(Failure) { try await tell(Pb_DeployEvent(event)) } catch { left = error }
        }
        var done = Pb_DeployEvent()
        done.done = Pb_Function(try await outcome.get(), detail: true)
        if left == nil {
            do throws(Failure) { try await tell(done) } catch { left = error }
        }
        return left.map { .failure($0) } ?? .success(())
    }

    package func deploy(_ request: Pb_CreateFunctionRequest) async throws(CallFailure) -> Pb_Message {
        try await deploy(DeployRequest(request, ifExists: .init(request.ifExists), mustExist: false))
    }

    package func update(_ request: Pb_CreateFunctionRequest) async throws(CallFailure) -> Pb_Message {
        try await deploy(DeployRequest(request, ifExists: .update, mustExist: true))
    }

    private func deploy(_ request: DeployRequest) async throws(CallFailure) -> Pb_Message {
        let function = try await telling { () throws(FunctionError) in try await registry.deploy(request) { _ in } }
        var reply = Pb_Message()
        reply.msg = "function \"\(function.name)\" is Ready"
        return reply
    }

    private static func deploy(
        _ request: DeployRequest, _ registry: FunctionRegistry, _ feed: AsyncStream<DeployEvent>.Continuation
    ) async -> Result<DeployedFunction, CallFailure> {
        defer { feed.finish() }
        do throws(CallFailure) {
            return .success(
                try await telling { () throws(FunctionError) in try await registry.deploy(request) { feed.yield($0) } })
        } catch {
            return .failure(error)
        }
    }
}

extension DeployRequest {
    init(_ request: Pb_CreateFunctionRequest, ifExists: IfExists, mustExist: Bool) {
        self.init(
            name: request.service, kind: DeployKind(request.deploy), image: request.image,
            registryAuthorization: request.registryAuth, secrets: request.secrets, constraints: request.constraints,
            config: request.config, bundle: request.bundle, environment: request.envVars, labels: request.labels,
            annotations: request.annotations,
            ifExists: ifExists, mustExist: mustExist)
    }
}

extension DeployKind {
    /// Nil if the request does not say.
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
    init(_ progress: DeployEvent) {
        self.init()
        switch progress {
        case .step(let text): self.progress = text
        case .output(let line): output = line
        case .traceback(let text): traceback = text
        }
    }
}
