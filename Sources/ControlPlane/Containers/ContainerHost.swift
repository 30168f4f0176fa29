internal import Engine
internal import FunctionConfig
internal import Link
internal import Logging
internal import Platform
internal import WatcherLink

/// The containers of this gateway, and the engine that runs them. Any task may use it.
///
/// A container belongs to this gateway when its label has the gateway's id, which the data folder keeps. The gateway
/// never touches any other container.
final class ContainerHost: Sendable {
    /// Where a container finds the folder with the socket.
    static let linkTarget = "/dcf/link"
    private static let secretsTarget = "/run/secrets"
    /// How long the search for containers of an earlier gateway process may take. Functions wait for it.
    private static let lookTime = Duration.seconds(5)
    /// How long a container runs on without a gateway, in seconds.
    private static let returnSeconds = 30
    /// How long the removal of a function may wait for the removal of its images.
    private static let releaseTime = Duration.seconds(5)
    /// How long containers of an earlier gateway process wait for a replica to adopt them.
    private static let adoptionTime = Duration.seconds(10)

    private struct State {
        var removals: [String: Promise<Void>] = [:]
        /// Containers of an earlier gateway process that still run, until a replica adopts them.
        var orphans: [OrphanContainer] = []
        /// Names of the containers that replicas have adopted.
        var adopted: Set<String> = []
        var isStopped = false
    }

    let folders: ContainerFolders
    let images: ContainerImages
    private let lazyEngine: LazyEngine
    private let paths: EnginePaths
    private let id: String
    private let run = LinkToken().text
    private let tasks: TaskPool
    /// The pause between two attempts to remove a container.
    private let retry: Duration
    private let logger: Logger
    private let state = Lock(State())

    /// - Parameters:
    ///   - id: the gateway's id.
    ///   - container: the id of the container that this gateway runs in; nil when it does not run in one.
    ///   - makeEngine: called when the engine is first needed.
    init(
        id: String, folders: ContainerFolders, tasks: TaskPool, logger: Logger, container: String? = nil,
        retry: Duration = .seconds(5),
        makeEngine: @escaping ContainerEngineMaker
    ) {
        self.id = id
        self.folders = folders
        self.tasks = tasks
        self.retry = retry
        self.logger = logger
        lazyEngine = LazyEngine(tasks: tasks, makeEngine)
        paths = EnginePaths(own: container)
        images = ContainerImages(gateway: id, engine: lazyEngine, tasks: tasks, logger: logger)
    }

    /// The engine's client. It is made once.
    func engine() throws(EngineError) -> any ContainerEngine { try lazyEngine.get() }

    // MARK: Containers

    /// Describes a replica's container, and copies its secrets. `discard` removes the copies.
    func spec(
        _ plan: FunctionPlan, _ source: ImageSource, replica: Int, devices: [GPUDevice], token: LinkToken
    ) throws(EngineError) -> ContainerSpec {
        let config = plan.config
        let name = "dcf-\(plan.name)-\(plan.record.version)-\(replica)-\(LinkToken().text.prefix(8))"
        var mounts = [ContainerSpec.Mount(source: folders.link, target: Self.linkTarget, isReadOnly: true)]
        do throws(FileError) { try folders.keep(token, of: name) } catch { throw EngineError(.broken, "\(error)") }
        let secrets = plan.record.secrets
        if !secrets.isEmpty {
            if let missing = folders.missing(of: secrets) { throw .noSecret(missing, folder: folders.secrets) }
            do throws(FileError) {
                let folder = try folders.copySecrets(secrets, for: name)
                mounts.append(ContainerSpec.Mount(source: folder, target: Self.secretsTarget, isReadOnly: true))
            } catch { throw EngineError(.broken, "secrets: \(error)") }
        }
        var spec = ContainerSpec(
            image: images.id(of: source), imageUser: source.user, imageVariables: source.variables, of: config)
        spec.name = name
        spec.environment.merge(plan.record.environment) { own, _ in own }
        spec.environment[WatcherVariables.link] = "unix:\(Self.linkTarget)/link.sock"
        spec.environment[WatcherVariables.token] = token.text
        spec.environment[WatcherVariables.returnSeconds] = "\(Self.returnSeconds)"
        spec.labels = [
            EngineLabel.gateway: id, EngineLabel.run: run, EngineLabel.function: plan.name,
            EngineLabel.version: "\(plan.record.version)", EngineLabel.replica: "\(replica)",
        ]
        spec.mounts = mounts
        if !devices.isEmpty { spec.gpus = .devices(devices.map(\.uuid)) }
        // The function's log has the output.
        spec.keepsLogs = false
        return spec
    }

    /// Makes a container. When its image has been removed from the engine, it is pulled again.
    ///
    /// - Returns: the container's id.
    func make(_ spec: ContainerSpec, of source: ImageSource, function: String) async throws(EngineError) -> String {
        let engine = try engine()
        var spec = spec
        for index in spec.mounts.indices {
            spec.mounts[index].source = try await paths.seen(spec.mounts[index].source, by: engine)
        }
        do throws(EngineError) { return try await engine.createContainer(spec) } catch {
            guard error.kind == .notFound, try await engine.image(spec.image) == nil else { throw error }
            spec.image = try await images.restore(source, of: function)
            return try await engine.createContainer(spec)
        }
    }

    /// Removes the image of a version that is no longer kept, after the version's containers.
    ///
    /// - Parameters:
    ///   - isLast: whether its function is removed too.
    ///   - isUsed: whether a version that is kept uses the same image.
    /// - Returns: a promise that is set when the removal is done.
    @discardableResult
    func releaseImage(of record: VersionRecord, isLast: Bool, isUsed: Bool) -> Promise<Void> {
        images.release(record, isLast: isLast, isUsed: isUsed) { [self] in await waitForRemovals() }
    }

    /// Waits until images are removed, or until a time limit.
    func wait(for releases: [Promise<Void>]) async {
        await within(Self.releaseTime) {
            for release in releases { _ = await release.value() }
        }
    }

    /// Whether containers are being removed.
    var isRemoving: Bool { state.withLock { !$0.removals.isEmpty } }

    private func waitForRemovals() async {
        for removal in state.withLock({ Array($0.removals.values) }) { _ = await removal.value() }
    }

    /// Starts to remove a container, its token and its secrets. Tries until the engine answers. `finish` waits for it.
    ///
    /// - Parameter id: the container's id, or its name when only the name is known; nil when the container was not
    ///   made.
    func discard(_ name: String, id: String?) {
        let done = Promise<Void>()
        state.withLock { $0.removals[name] = done }
        tasks.add { [self] in
            if let id { await remove(id, name) }
            do throws(FileError) { try folders.remove(for: name) } catch {
                logger.warning("secrets of \(name) are not removed: \(error)")
            }
            state.withLock { $0.removals[name] = nil }
            done.settle(())
        }
    }

    private func remove(_ id: String, _ name: String) async {
        var hasFailed = false
        while true {
            do throws(EngineError) { return try await engine().remove(id) } catch {
                if !hasFailed { logger.warning("container \(name) is not removed: \(error)") }
                hasFailed = true
                // The next gateway process removes what remains. A conflict is no proof of a removal: an engine that
                // stops during a removal may report that removal as running, and then forget it.
                guard error.isEngines || error.kind == .conflict, !state.withLock({ $0.isStopped }) else { return }
            }
            do { try await Task.sleep(for: retry) } catch { return }
        }
    }

    /// Sends a signal to a container, without waiting for it.
    ///
    /// - Parameters:
    ///   - pause: how long to wait first.
    ///   - isWanted: whether the signal is still to be sent after that.
    func signal(
        _ id: String, _ number: Int32, after pause: Duration = .zero,
        if isWanted: @escaping @Sendable () -> Bool = { true }
    ) {
        tasks.add { [self] in
            if pause > .zero { try? await Task.sleep(for: pause) }
            guard isWanted() else { return }
            do throws(EngineError) { try await engine().kill(id, signal: number) } catch {
                logger.warning("signal \(number) did not reach container \(id.prefix(12)): \(error)")
            }
        }
    }

    // MARK: Start and stop of the gateway

    /// Looks for containers of an earlier gateway process that still run, for this gateway's replicas to adopt. Call it
    /// before any replica starts.
    func findOrphans() async {
        let found = Promise<[EngineContainer]>()
        await within(Self.lookTime) { [self] in found.settle((try? await ofEarlierRuns()) ?? []) }
        let orphans = (found.current ?? []).compactMap { container -> OrphanContainer? in
            guard container.isRunning, let function = container.labels[EngineLabel.function],
                let version = container.labels[EngineLabel.version].flatMap({ Int($0) }),
                let replica = container.labels[EngineLabel.replica].flatMap({ Int($0) }),
                let token = folders.token(of: container.name)
            else { return nil }
            return OrphanContainer(
                id: container.id, name: container.name, function: function, version: version, replica: replica,
                token: token, lastLine: folders.lastLine(of: function))
        }
        state.withLock { $0.orphans = orphans }
        await checkPaths()
        do throws(FileError) { try folders.remove(except: Set(orphans.map(\.name))) } catch {
            logger.warning("files of earlier containers are not removed: \(error)")
        }
    }

    /// Logs at once an error that would prevent every function from starting.
    private func checkPaths() async {
        do throws(EngineError) { _ = try await paths.seen(folders.link, by: try engine()) } catch {
            if error.kind == .failed { logger.error("\(error)") }
        }
    }

    /// Takes the container that an earlier gateway process started for this replica; nil when there is none.
    func adopt(_ function: String, version: Int, replica: Int) -> OrphanContainer? {
        state.withLock { state in
            let index = state.orphans.firstIndex { orphan in
                orphan.function == function && orphan.version == version && orphan.replica == replica
            }
            guard let index else { return nil }
            let found = state.orphans.remove(at: index)
            state.adopted.insert(found.name)
            return found
        }
    }

    /// The containers that earlier gateway processes made. The containers of a Swarm's tasks are the Swarm's: they have
    /// no label with a gateway process.
    private func ofEarlierRuns() async throws(EngineError) -> [EngineContainer] {
        try await engine().containers(labels: [EngineLabel.gateway: id]).filter { container in
            guard let other = container.labels[EngineLabel.run] else { return false }
            return container.labels[EngineLabel.gateway] == id && other != run
        }
    }

    /// Removes the containers of earlier gateway processes that no replica has adopted. Tries until the engine answers.
    func removeOrphans(after delay: Duration = adoptionTime) async {
        do { try await Task.sleep(for: delay) } catch { return }
        let adopted = state.withLock { state in
            state.orphans = []
            return state.adopted
        }
        var hasFailed = false
        while !Task.isCancelled, !state.withLock({ $0.isStopped }) {
            do throws(EngineError) {
                let engine = try engine()
                let orphans = try await ofEarlierRuns().filter { !adopted.contains($0.name) }
                for container in orphans {
                    try await engine.remove(container.id)
                    try? folders.remove(for: container.name)
                }
                if !orphans.isEmpty { logger.info("removed \(orphans.count) containers that were left behind") }
                return
            } catch {
                if !hasFailed { logger.warning("containers that may be left behind are not removed yet: \(error)") }
                hasFailed = true
                do { try await Task.sleep(for: retry) } catch { return }
            }
        }
    }

    /// Waits until all removals that have begun are done.
    func finish() async {
        let removals = state.withLock { state in
            state.isStopped = true
            return Array(state.removals.values)
        }
        for removal in removals { _ = await removal.value() }
    }

    /// Closes the engine's client.
    func shutdown() async {
        await lazyEngine.shutdown()
    }
}

extension EngineError {
    static func noSecret(_ name: String, folder: String) -> EngineError {
        EngineError(
            .failed, "there is no secret \"\(name)\": put it into \(folder)/\(name) on the gateway's machine")
    }
}

/// A container that an earlier gateway process left running, and the token that it kept for it.
struct OrphanContainer: Sendable {
    var id: String
    var name: String
    var function: String
    var version: Int
    var replica: Int
    var token: LinkToken
    /// When the last line of its function's log was written, in milliseconds since 1970; nil when there is no log.
    var lastLine: Int64?
}
