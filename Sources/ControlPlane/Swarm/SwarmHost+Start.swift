internal import Engine
internal import Link
internal import Logging
internal import Platform

/// The start and the stop of the gateway: the overlay network, and what an earlier process of this gateway left.
extension SwarmHost {
    /// How long services of an earlier gateway process wait for their functions to start.
    static let adoptionTime = Duration.seconds(30)
    /// How long and at which interval a new network is waited for.
    private static let networkTime = Duration.seconds(10)
    private static let networkPause = Duration.milliseconds(50)

    /// Checks that this machine manages a Swarm, makes the overlay, and removes what an earlier process of this gateway
    /// left behind.
    ///
    /// Its tasks have lost their links, so new tasks are started in any case. The tasks of a group have links with
    /// other gateways; this process adopts their services.
    func prepare() async throws(EngineError) {
        let info = try await engine.info()
        guard info.isInSwarm else {
            throw EngineError(
                .failed,
                "this machine's engine is not part of a Swarm; make one (docker swarm init), or join one as a manager, or "
                    + "start the gateway with --engine docker")
        }
        guard info.isManager else {
            throw EngineError(
                .failed,
                "this machine is a worker of its Swarm, and only managers can be asked to run services; start the gateway on a "
                    + "manager, or make this one (docker node promote, on a manager)")
        }
        var advertised = configuration.advertised
        if advertised.isEmpty { advertised = [HostAddress(host: info.nodeAddress, port: 0)] }
        let own = links.tcpPort ?? 0
        let address =
            advertised
            .map { "tcp:\(HostAddress(host: $0.host, port: $0.port == 0 ? own : $0.port))" }.joined(separator: ",")
        state.withLock { $0.link = address }
        try await prepareOverlay()
        logger.info("tasks dial \(address)")
        if !configuration.isLoopback {
            logger.warning(
                """
                links between tasks and \(address) are encrypted only if this gateway is itself a container on the \
                overlay \(configuration.overlay), with that name there (--allow-plaintext)
                """)
        }
        try await removeOrphans()
    }

    private func prepareOverlay() async throws(EngineError) {
        let name = configuration.overlay
        let isPlain = configuration.allowsPlaintextOverlay
        var found = try await waitForNetwork(name)
        if found == nil {
            do throws(EngineError) {
                try await engine.createOverlay(name, isEncrypted: !isPlain, labels: labels)
                logger.info("made the overlay network \(name), \(isPlain ? "not encrypted" : "encrypted")")
            } catch {
                // Another gateway has made the network first.
                guard error.kind == .conflict else { throw error }
            }
            found = try await waitForNetwork(name)
        }
        guard let network = found else { return }
        guard network.driver == "overlay" else {
            throw EngineError(
                .failed,
                "network \(name) is not an overlay network: its driver is \(network.driver); "
                    + "name another with --overlay"
            )
        }
        guard network.isEncrypted || isPlain else {
            throw EngineError(
                .failed,
                "the overlay network \(name) is not encrypted; if that is intended, pass --overlay-plaintext, else name "
                    + "another network with --overlay")
        }
        if !network.isEncrypted { logger.warning("the overlay network \(name) is not encrypted (--overlay-plaintext)") }
    }

    /// Finds a network. One that was just created has neither a driver nor options until the Swarm has made it, so this
    /// waits.
    private func waitForNetwork(_ name: String) async throws(EngineError) -> SwarmNetwork? {
        let end = ContinuousClock.now + Self.networkTime
        while true {
            let found = try await engine.network(name)
            guard let found, found.driver.isEmpty else { return found }
            guard ContinuousClock.now < end else {
                throw EngineError(.failed, "the Swarm has not made network \(name) within \(Self.networkTime)")
            }
            try? await Task.sleep(for: Self.networkPause)
        }
    }

    /// Removes the services and secrets of an earlier process of this gateway, except the services that the group uses.
    private func removeOrphans() async throws(EngineError) {
        var orphans = try await engine.services(labels: labels).filter { $0.labels[EngineLabel.gateway] == id }
        var secrets = Set(try await engine.secrets(labels: labels).values)
        if let group = configuration.group {
            let kept = orphans.compactMap { SharedService($0, group: group) }
            orphans.removeAll { service in kept.contains { $0.id == service.id } }
            secrets.subtract(kept.flatMap(\.secrets))
            state.withLock { state in
                for service in kept { state.orphans[Key(service.record)] = service }
            }
        }
        for service in orphans { try await engine.removeService(service.id) }
        if !orphans.isEmpty { logger.info("removed \(orphans.count) services that were left behind") }
        if !secrets.isEmpty { discard(secrets: Array(secrets)) }
    }

    /// Removes services of an earlier gateway process that no function has adopted, and tasks that no replica has
    /// claimed.
    func removeUnclaimed(after delay: Duration = adoptionTime) async {
        guard configuration.group != nil else { return }
        do { try await Task.sleep(for: delay) } catch { return }
        let orphans = state.withLock { state in
            defer { state.orphans = [:] }
            return state.orphans.values.map { $0 }
        }
        for service in orphans { discard(service) }
        for service in state.withLock({ $0.entries.values.map(\.service) }) { service.dropUnclaimed() }
        if !orphans.isEmpty { logger.info("removed \(orphans.count) services that were left behind") }
    }

    /// Whether services go on although this gateway stops: the other gateways of the group send them calls, and the
    /// next process of this gateway adopts them.
    var keepsServices: Bool { configuration.group != nil && isStopped }

    /// Starts to remove a service and its secrets.
    func discard(_ service: SharedService) {
        tasks.add { [self] in
            do throws(EngineError) { try await engine.removeService(service.id) } catch {
                logger.warning("\(error); the next start tries again")
            }
        }
        discard(secrets: service.secrets)
    }

    /// Notes that the gateway stops. From now on nothing waits for the end of tasks.
    func beginStop() {
        state.withLock { $0.isStopped = true }
    }

    /// Waits until all removals of secrets that have begun are done.
    func finish() async {
        let removals = state.withLock { Array($0.removals.values) }
        for removal in removals { _ = await removal.value() }
    }

    /// Closes the engine's client.
    func shutdown() async {
        await engine.shutdown()
    }
}
