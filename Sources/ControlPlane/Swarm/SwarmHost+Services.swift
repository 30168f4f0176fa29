internal import Engine
internal import FunctionConfig
internal import Link
internal import Logging
internal import Platform
internal import WatcherLink

/// The services' specifications, their making and their removal.
extension SwarmHost {
    /// How long a task runs on without any of its gateways, in seconds.
    private static let returnSeconds = 30
    private static let tokenFile = "/run/secrets/.dcf-token"
    /// How long the removal of a service may delay the caller.
    private static let removalTime = Duration.seconds(10)

    /// Keeps the credentials with which the nodes pull an image. They are kept in memory only.
    func keep(_ credentials: RegistryCredentials, for image: String) {
        state.withLock { $0.credentials[image] = credentials }
    }

    func credentials(for image: String) -> RegistryCredentials? { state.withLock { $0.credentials[image] } }

    /// Makes the token that all tasks of a service show, and the labels from which the group's other gateways derive
    /// it.
    func makeToken(for plan: FunctionPlan) -> (LinkToken, labels: [String: String]) {
        guard let group = configuration.group else { return (LinkToken(), [:]) }
        let nonce = LinkToken().text
        return (
            group.token(of: plan.name, version: plan.record.version, nonce: nonce),
            SharedService.labels(of: plan.record, nonce: nonce, group: group, place: place)
        )
    }

    /// Describes a version's service, without its secrets.
    func spec(_ plan: FunctionPlan, _ source: ImageSource) throws(EngineError) -> ServiceSpec {
        let config = plan.config
        guard config.container.network == nil else {
            throw EngineError(
                .failed, "container.network cannot be used in a Swarm: its tasks are on the overlay network; remove it")
        }
        var container = ContainerSpec(
            image: source.reference, imageUser: source.user, imageVariables: source.variables, of: config)
        container.environment.merge(plan.record.environment) { own, _ in own }
        container.environment[WatcherVariables.link] = link
        container.environment[WatcherVariables.tokenFile] = Self.tokenFile
        container.environment[WatcherVariables.task] = "{{.Task.ID}}"
        if link.contains(",") { container.environment[WatcherVariables.returnSeconds] = "\(Self.returnSeconds)" }
        if !container.mayGainPrivileges { container.environment[WatcherVariables.noNewPrivileges] = "1" }
        let own = [
            EngineLabel.gateway: id, EngineLabel.function: plan.name,
            EngineLabel.version: "\(plan.record.version)",
        ]
        container.labels = own
        var spec = ServiceSpec(
            name: "dcf-\(plan.name)-v\(plan.record.version)-\(id.prefix(8))", container: container,
            network: configuration.overlay, replicas: 0)
        spec.labels = own
        spec.constraints = plan.record.constraints
        spec.architecture = source.architecture
        spec.gpus = config.limits.gpu
        return spec
    }

    /// Makes a service. A service of the same name that an earlier process of this gateway left is removed first.
    ///
    /// - Returns: the service's id.
    func make(_ spec: ServiceSpec, image: String) async throws(EngineError) -> String {
        do throws(EngineError) {
            return try await engine.createService(spec, credentials: credentials(for: image))
        } catch {
            guard EngineMessage.nameTaken.isSaid(in: error.description),
                let other = try await engine.service(spec.name)
            else { throw error }
            guard other.labels[EngineLabel.gateway] == id else {
                throw EngineError(
                    .conflict,
                    "the Swarm has a service named \(spec.name) that is not this gateway's; remove or rename it")
            }
            // An earlier removal of the service has failed.
            try await engine.removeService(other.id)
            return try await engine.createService(spec, credentials: credentials(for: image))
        }
    }

    /// Removes a service. Returns when it is removed, or after a time limit.
    func remove(service id: String, of plan: FunctionPlan) async {
        await within(Self.removalTime) { [self] in
            do throws(EngineError) { try await engine.removeService(id) } catch {
                logger.warning(
                    "the service of \(plan.name)@\(plan.record.version) is not removed; the next start does it: \(error)"
                )
            }
        }
    }
}
