internal import Engine
internal import Platform

/// A Swarm service's place for one replica, through all runs of the replica. A service has as many tasks as it has
/// slots.
final class TaskSlot: ReplicaPlacement {
    /// How often and at which interval the task's end is looked for. The number of tasks is lowered after it, so that
    /// the Swarm removes the task that has ended and no other.
    private static let endTries = 15
    private static let endPause = Duration.milliseconds(200)

    let service: SwarmService
    let number: Int
    private let task = Lock("")

    init(service: SwarmService, number: Int) {
        self.service = service
        self.number = number
    }

    /// Notes the task that the slot's replica has now.
    func assign(_ task: String) {
        self.task.withLock { $0 = task }
    }

    func makeBackend(devices: [GPUDevice]) -> any ReplicaBackend { SwarmTaskBackend(self) }

    /// Gives the slot up. The last slot's release removes the service.
    func release() async {
        let task = task.withLock { $0 }
        if !task.isEmpty, !service.isShared, !service.host.isStopped { await waitForEnd(of: task) }
        await service.host.releaseSlot(of: service)
    }

    private func waitForEnd(of task: String) async {
        for _ in 0..<Self.endTries {
            guard let tasks = try? await service.host.tasksNow() else { return }
            guard let found = tasks.first(where: { $0.id == task }), !found.isUnwanted else { return }
            do { try await Task.sleep(for: Self.endPause) } catch { return }
        }
    }
}
