internal import FunctionConfig

/// What the gateway needs to know of a version also while it does not run: the parts of its config that its callers and
/// lists see, the gateway's limits filled in.
struct VersionSettings: Sendable {
    var description = ""
    var maintainer = ""
    /// How its calls are handled.
    var route: RouteSettings
    /// How long it may be without a call before it is stopped, where it may be stopped at all.
    var idle: Duration
    var strategy = UpdateStrategy.rolling
    /// What each of its replicas needs of the host's GPUs; nil is none.
    var gpus: GPURequest?

    /// Those of a config that says nothing.
    init(limits: Limits) {
        route = RouteSettings(callTimeout: limits.callTimeout, queueBound: limits.queue)
        idle = limits.idleTimeout
    }

    init(_ config: FunctionConfig, limits: Limits) {
        description = config.description
        maintainer = config.maintainer
        route = RouteSettings(
            callTimeout: config.timeout.call ?? limits.callTimeout, queueBound: config.queue ?? limits.queue,
            concurrency: config.concurrency, batch: config.batch)
        idle = config.timeout.idle ?? limits.idleTimeout
        strategy = config.strategy
        gpus = GPURequest(config.limits)
    }
}
