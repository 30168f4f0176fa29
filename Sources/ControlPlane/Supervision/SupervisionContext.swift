internal import Link
internal import Logging
internal import Platform

/// What the supervision of all replicas shares.
struct SupervisionContext: Sendable {
    let links: LinkServer
    let limits: Limits
    /// The environment of the gateway.
    let variables: [String: String]
    let logger: Logger
    let changes: Changes
    let tasks: TaskPool
    /// The queue for turns to start.
    let starts: StartQueue
    let templates: TemplatePool
    let gpus: GPULeases
    let inventory: GPUInventory
    /// Finds the place of a replica.
    let place: ReplicaPlacer
    /// How long a version waits before a replica that died is started again.
    var restarts = RestartPolicy()
}
