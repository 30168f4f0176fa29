internal import Calls
internal import FunctionConfig

/// What the gateway must know of a version even while it does not run: the parts of the config that callers and lists
/// see, with the limits of the gateway as defaults.
struct VersionSettings: Sendable {
    var description = ""
    var maintainer = ""
    /// The settings of the version's route.
    var route: RouteSettings
    /// How long the version may be without a call before it is stopped, if it may be stopped.
    var idle: Duration
    var strategy = UpdateStrategy.rolling
    /// The GPUs of this host that each replica needs. Nil if it needs none.
    var gpus: GPURequest?

    /// The settings of an empty config.
    init(limits: Limits) {
        route = RouteSettings(callTimeout: limits.callTimeout, queueBound: limits.queue)
        idle = limits.idleTimeout
    }

    /// - Parameter isSwarmTask: whether the replicas are tasks of a Swarm.
    init(_ config: FunctionConfig, limits: Limits, isSwarmTask: Bool) {
        description = config.description
        maintainer = config.maintainer
        route = RouteSettings(config, limits: limits)
        idle = config.timeout.idle ?? limits.idleTimeout
        strategy = config.strategy
        gpus = GPURequest(ofHost: config.limits, isSwarmTask: isSwarmTask)
    }
}

extension RouteSettings {
    /// The settings of the route of a version with this config. The limits of the gateway are the defaults.
    init(_ config: FunctionConfig, limits: Limits) {
        self.init(
            callTimeout: config.timeout.call ?? limits.callTimeout, queueBound: config.queue ?? limits.queue,
            concurrency: config.concurrency, batch: config.batch)
    }
}

extension GPURequest {
    /// The GPUs of this host that a replica needs. Nil if it needs none.
    ///
    /// - Parameter isSwarmTask: whether the replica is a task of a Swarm, which gets its devices from the Swarm.
    init?(ofHost limits: LimitsConfig, isSwarmTask: Bool) {
        if isSwarmTask { return nil }
        self.init(limits)
    }
}
