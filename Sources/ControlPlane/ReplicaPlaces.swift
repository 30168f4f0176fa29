internal import Platform

/// Finds places for replicas: in a process or a container of this machine, or in a task of a Swarm. The plan of the
/// replica decides.
struct ReplicaPlaces: Sendable {
    let processes: ProcessHost
    let containers: ContainerHost
    /// Nil if images run as containers of this machine.
    let swarm: SwarmHost?
    let logs: LogPump

    func place(_ request: PlacementRequest) async -> any ReplicaPlacement {
        let (plan, number, log) = (request.plan, request.number, request.log)
        switch plan.source {
        case .process(let source):
            return LocalPlacement { [processes] devices in
                ProcessBackend(
                    plan: plan, source: source, number: number, devices: devices, host: processes, log: log,
                    isUrgent: request.isUrgent)
            }
        case .image(let source), .service(let source):
            if case .service = plan.source, let swarm {
                return await swarm.slot(plan, source, replica: number, log: log)
            }
            return LocalPlacement { [containers, logs] devices in
                ContainerBackend(
                    plan: plan, source: source, number: number, devices: devices, host: containers, logs: logs, log: log
                )
            }
        }
    }
}

/// A place on this machine. It needs no end: nothing has to be given up.
private struct LocalPlacement: ReplicaPlacement {
    let make: @Sendable ([GPUDevice]) -> any ReplicaBackend

    func makeBackend(devices: [GPUDevice]) -> any ReplicaBackend { make(devices) }

    func release() async {}
}
