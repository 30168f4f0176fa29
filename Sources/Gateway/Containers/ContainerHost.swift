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
    private static let retry = Duration.seconds(5)
    /// How long the first look may take: functions wait for it.
    private static let lookTime = Duration.seconds(5)
    /// How long a container goes on without a gateway, in seconds.
    private static let returnSeconds = 30
    /// How long those that are left may wait for a replica to take them over.
    private static let adoptionTime = Duration.seconds(10)

    private struct State {
        var engine: Result<any ContainerEngine, EngineError>?
        var removals: [String: Promise<Void>] = [:]
        /// Those of a gateway before this one that still run, until a replica takes them over.
        var left: [LeftContainer] = []
        /// Names of those that were taken over.
        var adopted: Set<String> = []
        var isStopped = false
    }

    let folders: ContainerFolders
    private let id: String
    private let run = LinkToken().text
    private let tasks: TaskPool
    private let logger: Logger
    private let makeEngine: ContainerEngineMaker
    private let state = Lock(State())

    /// - Parameters:
    ///   - id: the gateway's.
    ///   - makeEngine: called when the engine is first needed.
    init(
        id: String, folders: ContainerFolders, tasks: TaskPool, logger: Logger,
        makeEngine: @escaping ContainerEngineMaker
    ) {
        self.id = id
        self.folders = folders
        self.tasks = tasks
        self.logger = logger
        self.makeEngine = makeEngine
    }

    /// The engine; made once.
    func engine() throws(EngineError) -> any ContainerEngine {
        if let known = state.withLock({ $0.engine }) { return try known.get() }
        assertNoLockIsHeld()
        let made: Result<any ContainerEngine, EngineError>
        do throws(EngineError) { made = .success(try makeEngine()) } catch { made = .failure(error) }
        let (kept, isOurs) = state.withLock { state in
            if let other = state.engine { return (other, false) }
            state.engine = made
            return (made, true)
        }
        // Somebody else was quicker.
        if !isOurs, case .success(let unused) = made { tasks.add { await unused.shutdown() } }
        return try kept.get()
    }

    // MARK: Images

    /// Finds an image by its name, getting it from its registry where the engine has none of that name, and checks that it can run here.
    ///
    /// - Parameter isForThisMachine: whether this very machine must be able to run it.
    func resolve(
        _ name: String, credentials: RegistryCredentials?, isForThisMachine: Bool = true,
        progress: @escaping @Sendable (DeployProgress) -> Void
    ) async throws(EngineError) -> ImageSource {
        let engine = try engine()
        let info = try await engine.info()
        var found = try await engine.image(name)
        if found == nil {
            progress(.step("pulling \(name)"))
            try await engine.pull(try ImageReference(name), credentials: credentials) { event in
                if !event.isUpdate { progress(.output(event.line)) }
            }
            found = try await engine.image(name)
        }
        guard let image = found else { throw EngineError(.notFound, "the Docker engine has no image \"\(name)\"") }
        guard image.os == "linux" || image.os.isEmpty else {
            throw EngineError(.failed, "image \"\(name)\" is for \(image.os); functions run on linux")
        }
        guard !isForThisMachine || image.architecture.isEmpty || image.architecture == info.architecture else {
            throw EngineError(
                .failed,
                "image \"\(name)\" is for \(image.architecture), and this machine is \(info.architecture); build it for "
                    + "linux/\(info.architecture)")
        }
        return ImageSource(
            id: image.id, name: name, reference: Self.reference(to: image, name), architecture: image.architecture,
            user: image.user, variables: image.variableNames)
    }

    /// What names the very image in the registry that its name is of; its id where that has none.
    private static func reference(to image: EngineImage, _ name: String) -> String {
        guard let repository = try? ImageReference(name).repository else { return image.id }
        return image.digests.first { (try? ImageReference($0).repository) == repository } ?? image.id
    }

    // MARK: Containers

    /// What a replica's container is made of, its secrets copied. `discard` takes them away.
    func spec(
        _ plan: FunctionPlan, _ source: ImageSource, replica: Int, devices: [GPUDevice], token: LinkToken
    ) throws(EngineError) -> ContainerSpec {
        let config = plan.config
        let name = "dcf-\(plan.name)-\(plan.record.version)-\(replica)-\(LinkToken().text.prefix(8))"
        var mounts = [ContainerSpec.Mount(source: folders.link, target: Self.linkTarget, isReadOnly: true)]
        do throws(FileError) { try folders.keep(token, of: name) } catch { throw EngineError(.failed, "\(error)") }
        let secrets = plan.record.secrets
        if !secrets.isEmpty {
            if let missing = folders.missing(of: secrets) { throw .noSecret(missing, folder: folders.secrets) }
            do throws(FileError) {
                let folder = try folders.copySecrets(secrets, for: name)
                mounts.append(ContainerSpec.Mount(source: folder, target: Self.secretsTarget, isReadOnly: true))
            } catch { throw EngineError(.failed, "secrets: \(error)") }
        }
        var spec = ContainerSpec(
            image: source.id, imageUser: source.user, imageVariables: source.variables, of: config)
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

    /// Takes a container away, soon: nobody has to wait for it but `finish`. Tried until the engine answers.
    ///
    /// - Parameter id: nil where it was not made.
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
                // What is left at the end is removed by the gateway's next life.
                guard error.kind == .unreachable, !state.withLock({ $0.isStopped }) else { return }
            }
            do { try await Task.sleep(for: Self.retry) } catch { return }
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
        let found = await withTaskGroup(of: [EngineContainer].self) { group in
            group.addTask { [self] in (try? await ofEarlierLives()) ?? [] }
            group.addTask {
                try? await Task.sleep(for: Self.lookTime)
                return []
            }
            defer { group.cancelAll() }
            return await group.next() ?? []
        }
        let left = found.compactMap { container -> LeftContainer? in
            guard container.isRunning, let function = container.labels[Label.function],
                let version = container.labels[Label.version].flatMap({ Int($0) }),
                let replica = container.labels[Label.replica].flatMap({ Int($0) }),
                let token = folders.token(of: container.name)
            else { return nil }
            return LeftContainer(
                id: container.id, name: container.name, function: function, version: version, replica: replica,
                token: token)
        }
        state.withLock { $0.left = left }
        do throws(FileError) { try folders.remove(except: Set(left.map(\.name))) } catch {
            logger.warning("what earlier containers had is not removed: \(error)")
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
                do { try await Task.sleep(for: Self.retry) } catch { return }
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
        guard case .success(let engine) = state.withLock({ $0.engine }) else { return }
        await engine.shutdown()
    }
}

extension EngineError {
    static func noSecret(_ name: String, folder: String) -> EngineError {
        EngineError(
            .failed, "there is no secret \"\(name)\": put it into \(folder)/\(name) on the gateway's machine")
    }
}
