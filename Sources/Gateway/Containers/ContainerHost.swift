internal import Engine
internal import Environments
internal import FunctionConfig
internal import GRPC
internal import Locks
internal import Logging

/// The containers of this gateway: the engine that runs them, and the labels that tell whose they are.
///
/// A container is this gateway's when it carries the gateway's id, which the data folder keeps; no other is ever touched.
final class ContainerHost: Sendable {
    /// Labels of every container of ours.
    enum Label {
        /// Whose it is.
        static let gateway = "io.dcf.gateway"
        /// Which of the gateway's lives it belongs to.
        static let run = "io.dcf.run"
        static let function = "io.dcf.function"
        static let version = "io.dcf.version"
        static let replica = "io.dcf.replica"
    }

    /// Where the folder with the socket is seen.
    static let linkTarget = "/dcf/link"
    private static let secretsTarget = "/run/secrets"
    /// How long the first look may take: functions wait for it.
    private static let lookTime = Duration.seconds(5)
    /// How long a container goes on without a gateway, in seconds.
    private static let returnSeconds = 30
    /// How long the end of a function may wait for the end of its images.
    private static let releaseTime = Duration.seconds(5)
    /// How long those that are left may wait for a replica to take them over.
    private static let adoptionTime = Duration.seconds(10)

    private struct State {
        var removals: [String: Promise<Void>] = [:]
        /// Those of a gateway before this one that still run, until a replica takes them over.
        var left: [LeftContainer] = []
        /// Names of those that were taken over.
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
    /// Between two tries to take something away.
    private let retry: Duration
    private let logger: Logger
    private let state = Lock(State())

    /// - Parameters:
    ///   - id: the gateway's.
    ///   - container: the id of the container that this gateway runs in; nil where it runs in none.
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

    /// The engine; made once.
    func engine() throws(EngineError) -> any ContainerEngine { try lazyEngine.get() }

    // MARK: Containers

    /// What a replica's container is made of, its secrets copied. `discard` takes them away.
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
        spec.environment["DCF_LINK"] = "unix:\(Self.linkTarget)/link.sock"
        spec.environment["DCF_TOKEN"] = token.text
        spec.environment["DCF_RETURN"] = "\(Self.returnSeconds)"
        spec.labels = [
            Label.gateway: id, Label.run: run, Label.function: plan.name, Label.version: "\(plan.record.version)",
            Label.replica: "\(replica)",
        ]
        spec.mounts = mounts
        if !devices.isEmpty { spec.gpus = .devices(devices.map(\.uuid)) }
        // The function's log has it.
        spec.keepsLogs = false
        return spec
    }

    /// Makes a container; its image is got again where somebody has removed it.
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

    /// A version is not kept any more: its image goes after its containers.
    ///
    /// - Parameters:
    ///   - isLast: whether its function is gone, too.
    ///   - isUsed: whether a version that is kept is of the same image.
    /// - Returns: settled when it is done.
    @discardableResult
    func releaseImage(of record: VersionRecord, isLast: Bool, isUsed: Bool) -> Promise<Void> {
        images.release(record, isLast: isLast, isUsed: isUsed) { [self] in await waitForRemovals() }
    }

    /// Waits for what is given up, as far as the engine is quick.
    func wait(for releases: [Promise<Void>]) async {
        await within(Self.releaseTime) {
            for release in releases { _ = await release.value() }
        }
    }

    /// Whether containers are being taken away.
    var isRemoving: Bool { state.withLock { !$0.removals.isEmpty } }

    private func waitForRemovals() async {
        for removal in state.withLock({ Array($0.removals.values) }) { _ = await removal.value() }
    }

    /// Takes a container away, soon: nobody has to wait for it but `finish`. Tried until the engine answers.
    ///
    /// - Parameter id: its id, or its name where only that is known; nil where it was not made.
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
                // What is left at the end is removed by the gateway's next life. An engine that ends in the midst of a removal
                // may say that it is at it, and forget it.
                guard error.isEngines || error.kind == .conflict, !state.withLock({ $0.isStopped }) else { return }
            }
            do { try await Task.sleep(for: retry) } catch { return }
        }
    }

    /// Does something for a container that nobody waits for.
    func signal(_ id: String, _ number: Int32) {
        tasks.add { [self] in
            do throws(EngineError) { try await engine().kill(id, signal: number) } catch {
                logger.warning("signal \(number) did not reach container \(id.prefix(12)): \(error)")
            }
        }
    }

    // MARK: Start and stop of the gateway

    /// Looks for containers that a gateway before this one left running, for its replicas to be taken over by this one's.
    /// Before any replica starts.
    func findLeft() async {
        let found = Promise<[EngineContainer]>()
        await within(Self.lookTime) { [self] in found.settle((try? await ofEarlierLives()) ?? []) }
        let left = (found.current ?? []).compactMap { container -> LeftContainer? in
            guard container.isRunning, let function = container.labels[Label.function],
                let version = container.labels[Label.version].flatMap({ Int($0) }),
                let replica = container.labels[Label.replica].flatMap({ Int($0) }),
                let token = folders.token(of: container.name)
            else { return nil }
            return LeftContainer(
                id: container.id, name: container.name, function: function, version: version, replica: replica,
                token: token, lastLine: folders.lastLine(of: function))
        }
        state.withLock { $0.left = left }
        await checkPaths()
        do throws(FileError) { try folders.remove(except: Set(left.map(\.name))) } catch {
            logger.warning("what earlier containers had is not removed: \(error)")
        }
    }

    /// Says at once what would keep every function from starting.
    private func checkPaths() async {
        do throws(EngineError) { _ = try await paths.seen(folders.link, by: try engine()) } catch {
            if error.kind == .failed { logger.error("\(error)") }
        }
    }

    /// Gives one that is left to the replica that it was; nil where there is none.
    func adopt(_ function: String, version: Int, replica: Int) -> LeftContainer? {
        state.withLock { state in
            let index = state.left.firstIndex { one in
                one.function == function && one.version == version && one.replica == replica
            }
            guard let index else { return nil }
            let found = state.left.remove(at: index)
            state.adopted.insert(found.name)
            return found
        }
    }

    /// The containers of a Swarm's tasks, which are of no run, are the Swarm's.
    private func ofEarlierLives() async throws(EngineError) -> [EngineContainer] {
        try await engine().containers(labels: [Label.gateway: id]).filter { container in
            guard let other = container.labels[Label.run] else { return false }
            return container.labels[Label.gateway] == id && other != run
        }
    }

    /// Takes away what a gateway before this one left behind and no replica took over: containers with this gateway's id
    /// that are not of this life. Tried until the engine answers.
    func removeLeft(after delay: Duration = adoptionTime) async {
        do { try await Task.sleep(for: delay) } catch { return }
        let adopted = state.withLock { state in
            state.left = []
            return state.adopted
        }
        var hasFailed = false
        while !Task.isCancelled, !state.withLock({ $0.isStopped }) {
            do throws(EngineError) {
                let engine = try engine()
                let left = try await ofEarlierLives().filter { !adopted.contains($0.name) }
                for container in left {
                    try await engine.remove(container.id)
                    try? folders.remove(for: container.name)
                }
                if !left.isEmpty { logger.info("removed \(left.count) containers that were left behind") }
                return
            } catch {
                if !hasFailed { logger.warning("containers that may be left behind are not removed yet: \(error)") }
                hasFailed = true
                do { try await Task.sleep(for: retry) } catch { return }
            }
        }
    }

    /// Waits until what is being taken away is gone.
    func finish() async {
        let removals = state.withLock { state in
            state.isStopped = true
            return Array(state.removals.values)
        }
        for removal in removals { _ = await removal.value() }
    }

    /// The engine is not needed any more.
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
