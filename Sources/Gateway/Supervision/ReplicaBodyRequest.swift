/// What a body is made for.
struct ReplicaBodyRequest: Sendable {
    var plan: FunctionPlan
    /// The replica's.
    var number: Int
    /// Those that it may use; empty leaves it to the gateway's own environment.
    var devices: [GPUDevice]
    /// In the service that its task is of, where it is one of a Swarm.
    var seat: SwarmSeat?
    var context: SupervisionContext
    var log: FunctionLog
    /// Whether calls wait for the replica.
    var isUrgent: @Sendable () -> Bool
}

/// Makes the body for one run of a replica.
typealias ReplicaBodyMaker = @Sendable (ReplicaBodyRequest) -> any ReplicaBody

extension ReplicaBodyRequest {
    /// What the plan asks for: a process, a container, or a task of a Swarm.
    func makeBody() -> any ReplicaBody {
        switch (plan.source, seat) {
        case (.process(let source), _):
            ProcessBody(
                plan: plan, source: source, number: number, devices: devices, context: context, log: log,
                isUrgent: isUrgent)
        case (.service, let seat?):
            SwarmBody(seat: seat)
        case (.image(let source), _), (.service(let source), nil):
            ContainerBody(
                plan: plan, source: source, number: number, devices: devices, host: context.containers,
                logs: context.logs, log: log)
        }
    }
}
