internal import Calls
internal import Engine
internal import Logging
internal import Platform

/// The look at the tasks, and at what the other gateways of the group have deployed.
extension SwarmHost {
    /// The pauses between two looks at the tasks, while much changes and otherwise.
    private static let quickLook = Duration.milliseconds(500)
    private static let slowLook = Duration.seconds(5)
    /// How long the tasks are looked at often after a change.
    private static let busyTime = Duration.seconds(10)

    /// Publishes how the calls of a function are divided between its versions, for the other gateways of the group.
    func publish(_ traffic: Traffic, of function: String) {
        guard configuration.group != nil else { return }
        let services = state.withLock { state in
            state.entries.filter { $0.key.name == function && !$0.value.isClosing }.map(\.value.service)
        }
        for service in services { service.setTraffic(traffic.weight(of: service.plan.record.version)) }
    }

    /// What the other gateways of the group have deployed; nil when the engine does not answer or there is no group.
    private func lookAtGroup() async -> [SharedService]? {
        guard let group = configuration.group,
            let services = try? await engine.services(labels: SharedService.labels(of: group))
        else { return nil }
        return services.compactMap { SharedService($0, group: group) }.filter { $0.owner != id }
    }

    /// All tasks of the services of this gateway, or of its group.
    func tasksNow() async throws(EngineError) -> [SwarmTask] {
        guard let group = configuration.group else { return try await engine.tasks(labels: labels) }
        return try await engine.tasks(labels: SharedService.labels(of: group))
    }

    /// Has the tasks looked at soon, and often for a while, because something changes.
    func lookSoon() {
        let nextLook = state.withLock { state in
            state.busyUntil = .now + Self.busyTime
            return state.nextLook
        }
        nextLook.settle(())
    }

    /// Looks at the tasks until the task is cancelled. When the engine does not answer, nothing changes.
    ///
    /// - Parameter onShared: called at each look with the versions that the other gateways of the group have deployed.
    func follow(onShared: ([SharedService]) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                while !Task.isCancelled {
                    try? await engine.followSwarm { [self] in lookSoon() }
                    do { try await Task.sleep(for: Self.slowLook) } catch { return }
                }
            }
            while !Task.isCancelled {
                let services = state.withLock { $0.entries.values.map(\.service) }
                if let shared = await lookAtGroup() { await onShared(shared) }
                if !services.isEmpty { await look(services) }
                await pause(services)
            }
            group.cancelAll()
        }
    }

    private func look(_ services: [SwarmService]) async {
        guard let found = try? await tasksNow() else { return }
        var down: Set<String> = []
        if let nodes = try? await engine.nodes() {
            down = Set(nodes.filter { $0.state == "down" }.map(\.id))
            state.withLock { $0.nodes = Dictionary(nodes.map { ($0.id, $0.name) }) { first, _ in first } }
        }
        for service in services { service.look(found, down: down) }
    }

    private func pause(_ services: [SwarmService]) async {
        let nextLook = Promise<Void>()
        let isBusy = state.withLock { state in
            state.nextLook = nextLook
            return state.busyUntil > .now
        }
        let hasWaiting = services.contains { $0.hasWaiting }
        // Changes come in bursts, so it waits a moment for the rest of a burst.
        do { try await Task.sleep(for: .milliseconds(100)) } catch { return }
        let time = isBusy || hasWaiting ? Self.quickLook : Self.slowLook
        _ = await nextLook.value(within: time)
    }
}
