internal import Engine
internal import Locks

/// A replica's claim to one task of a service, through all its runs: the service has as many tasks as there are seats.
final class SwarmSeat: Sendable {
    /// How long the end of a task may take to be known; only then the number of tasks goes down, so that the Swarm takes away
    /// the one that has ended, and no other.
    private static let endTries = 15
    private static let endPause = Duration.milliseconds(200)

    let service: SwarmService
    let number: Int
    private let task = Lock("")

    init(service: SwarmService, number: Int) {
        self.service = service
        self.number = number
    }

    /// The task that it has now.
    func took(_ task: String) {
        self.task.withLock { $0 = task }
    }

    /// Gives it up; of the last one the service is removed.
    func leave() async {
        let task = task.withLock { $0 }
        if !task.isEmpty, !service.isShared, !service.host.isStopped { await waitForEnd(of: task) }
        await service.host.leave(service)
    }

    private func waitForEnd(of task: String) async {
        for _ in 0..<Self.endTries {
            guard let tasks = try? await service.host.tasksNow() else { return }
            guard let found = tasks.first(where: { $0.id == task }), !found.isUnwanted else { return }
            do { try await Task.sleep(for: Self.endPause) } catch { return }
        }
    }
}
