internal import Logging

/// What every replica's supervision uses, and none of it owns.
struct SupervisionContext: Sendable {
    let links: LinkServer
    let logs: LogPump
    let limits: Limits
    /// The path of `dcf-watcher`.
    let launcher: String
    let containment: Containment
    /// The gateway's own environment.
    let variables: [String: String]
    let logger: Logger
    let changes: Changes
    let tasks: TaskPool
    /// Whose turn it is to start.
    let starts: StartQueue
    let templates: TemplatePool
    let gpus: GPULeases
    let inventory: GPUInventory
    let containers: ContainerHost
    /// Nil where images run as containers of this machine.
    let swarm: SwarmHost?
}
