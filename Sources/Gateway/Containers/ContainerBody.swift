internal import CLinux
internal import Engine
internal import Environments
internal import FunctionConfig
internal import Glibc
internal import Locks

/// A replica in a container of its own.
final class ContainerBody: ReplicaBody {
    private struct State {
        /// Once it is made.
        var id: String?
        var isRunning = false
        var isCondemned = false
        /// It was told to end when it has nothing to do.
        var isDrained = false
        /// Whether its watcher has dialled.
        var isLinked = false
        /// Whether it has come to its end; an engine may start it again all the same.
        var hasEnded = false
        /// The last line that it wrote to its standard error.
        var lastLine = LastLine()
        var last: LastLines?
    }

    /// How long nothing takes the place of a container that somebody else told to end. An engine that stops does that to all,
    /// and what it is asked to start meanwhile it starts and forgets.
    private static let stoppedTime = Duration.seconds(1)
    /// How often an engine that is away is asked for.
    private static let engineTime = Duration.milliseconds(500)
    /// How long the last output may take to come after the end.
    private static let outputTime = Duration.seconds(2)

    let token: LinkToken
    /// A container that a gateway before this one left, which this replica takes over.
    private let left: LeftContainer?
    private let plan: FunctionPlan
    private let source: ImageSource
    private let number: Int
    /// The GPUs that it gets.
    private let devices: [GPUDevice]
    private let host: ContainerHost
    private let logs: LogPump
    private let log: FunctionLog
    private let state = Lock(State())
    /// It was killed, or its link has ended: where the engine does not say more, it is over.
    private let isOver = Promise<Void>()

    init(
        plan: FunctionPlan, source: ImageSource, number: Int, devices: [GPUDevice], host: ContainerHost, logs: LogPump,
        log: FunctionLog
    ) {
        left = host.adopt(plan.name, version: plan.record.version, replica: number)
        token = left?.token ?? LinkToken()
        self.plan = plan
        self.source = source
        self.number = number
        self.devices = devices
        self.host = host
        self.logs = logs
        self.log = log
    }

    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit {
        do throws(EngineError) {
            let engine = try host.engine()
            if let left {
                defer { host.discard(left.name, id: left.id) }
                return try await run(left.id, on: engine, onStart)
            }
            let spec = try host.spec(plan, source, replica: number, devices: devices, token: token)
            let name = spec.name ?? ""
            var known: String?
            defer { host.discard(name, id: known) }
            let id: String
            do throws(EngineError) {
                id = try await host.make(spec, of: source, function: plan.name)
            } catch {
                // An engine that was asked may have made it, and have ended before it said so.
                if error.kind != .unreachable { known = name }
                throw error
            }
            known = id
            return try await run(id, on: engine, onStart)
        } catch {
            // What the engine does not do for what it was asked, its author can mend. A registry that does not give an image again
            // is not the handler's fault, either.
            let isElsewhere = error.isEngines || error.kind == .registry
            throw ConstructorFailure(summary: "\(error)", traceback: "", isElsewhere: isElsewhere)
        }
    }

    /// Starts it, and has its output go to the log until it ends.
    private func run(
        _ id: String, on engine: any ContainerEngine, _ onStart: @Sendable (Int32) -> Void
    ) async throws(EngineError) -> ReplicaExit {
        var written = LogOutput(to: log, replica: number, through: logs)
        state.withLock { [last = written.last] in $0.last = last }
        let result: Result<ReplicaExit, EngineError>
        do throws(FileError) {
            let output = try written.makePipe(.stdout)
            let error = try written.makePipe(.stderr)
            result = await run(id, on: engine, Pipe(output: output.rawValue, error: error.rawValue), onStart)
            withExtendedLifetime(output) {}
            withExtendedLifetime(error) {}
        } catch { result = .failure(EngineError(.broken, "\(error)")) }
        await written.finish()
        return try result.get()
    }

    private func run(
        _ id: String, on engine: any ContainerEngine, _ pipe: Pipe, _ onStart: @Sendable (Int32) -> Void
    ) async -> Result<ReplicaExit, EngineError> {
        await withTaskGroup(of: Step.self) { group in
            defer { group.cancelAll() }
            await follow(id, on: engine, pipe, &group)
            do throws(EngineError) {
                guard begin(id) else { throw EngineError(.failed, "it was stopped") }
                if left == nil { try await start(id, on: engine) }
                if isRunning() { host.signal(id, SIGKILL) }
                onStart((try? await engine.pid(of: id)) ?? 0)
            } catch {
                return Result<ReplicaExit, EngineError>.failure(error)
            }
            if let left { noteGap(since: left.lastLine, "the gateway was away") }
            wait(id, on: engine, &group)
            return await follow(toItsEnd: id, on: engine, pipe, &group)
        }
    }

    /// Has its output go to the log; returns when nothing is missed any more, or it cannot be had.
    private func follow(
        _ id: String, on engine: any ContainerEngine, _ pipe: Pipe, _ group: inout TaskGroup<Step>
    ) async {
        let attached = Promise<Void>()
        group.addTask { [self] in
            do throws(EngineError) {
                try await engine.attach(id, input: nil, onAttached: { attached.settle(()) }) { [self] stream, bytes in
                    if stream == .standardError { state.withLock { $0.lastLine.add(bytes) } }
                    Self.write(bytes, to: stream == .standardError ? pipe.error : pipe.output)
                }
            } catch {
                attached.settle(())
                return .output(error)
            }
            return .output(nil)
        }
        _ = await attached.value()
    }

    private func wait(_ id: String, on engine: any ContainerEngine, _ group: inout TaskGroup<Step>) {
        group.addTask {
            do throws(EngineError) { return .ended(.success(try await engine.wait(id))) } catch {
                return .ended(.failure(error))
            }
        }
    }

    /// How it ends, as the engine says, or, where the engine goes away and it does not, as its link does.
    private func follow(
        toItsEnd id: String, on engine: any ContainerEngine, _ pipe: Pipe, _ group: inout TaskGroup<Step>
    ) async -> Result<ReplicaExit, EngineError> {
        var end: Result<ReplicaExit, EngineError>?
        var hasOutput = true
        // Whether the engine was away since its output was last followed.
        var wasAway = false
        var deafSince: Int64?
        while end == nil || hasOutput, let step = await group.next() {
            switch step {
            case .ended(.failure(let error)) where error.isEngines || error.kind == .notFound:
                group.addTask { [self] in await askAgain(id, on: engine, after: error) }
            case .ended(let result):
                end = finish(result.map { exit($0) }, &group)
                if case .success(let exit) = result, isStoppedByOthers(exit) {
                    try? await Task.sleep(for: Self.stoppedTime)
                }
            case .gone(let result):
                end = finish(result, &group)
            case .back:
                wasAway = true
                wait(id, on: engine, &group)
                // The engine was not there to be told.
                if isOver.current != nil { host.signal(id, SIGKILL) }
            case .output(let failure):
                hasOutput = false
                deafSince = LogTime.now()
                if let failure, !failure.isEngines, end == nil { note("its output cannot be read: \(failure)") }
            case .late:
                hasOutput = false
            }
            if wasAway, !hasOutput, end == nil {
                await follow(id, on: engine, pipe, &group)
                if let since = deafSince { noteGap(since: since, "the Docker engine was away") }
                (wasAway, hasOutput) = (false, true)
            }
        }
        return end ?? .failure(EngineError(.failed, "it was stopped"))
    }

    /// Whether it ended as after a SIGTERM that did not come from here.
    private func isStoppedByOthers(_ exit: ContainerExit) -> Bool {
        guard exit.status == 0 || exit.status == 128 + SIGTERM else { return false }
        return state.withLock { $0.isLinked && !$0.isCondemned && !$0.isDrained }
    }

    private func start(_ id: String, on engine: any ContainerEngine) async throws(EngineError) {
        do throws(EngineError) { try await engine.start(id) } catch {
            // Somebody has removed it since it was made a moment ago.
            guard error.description.contains("No such container") else { throw error }
            throw EngineError(.broken, error.description)
        }
    }

    private func finish(
        _ end: Result<ReplicaExit, EngineError>, _ group: inout TaskGroup<Step>
    ) -> Result<ReplicaExit, EngineError> {
        state.withLock { state in
            state.isRunning = false
            state.hasEnded = true
        }
        group.addTask {
            try? await Task.sleep(for: Self.outputTime)
            return .late
        }
        return end
    }

    /// The engine has lost what it was asked: it was stopped, killed or started anew. Its containers may have gone on, and
    /// one whose link is there has.
    private func askAgain(_ id: String, on engine: any ContainerEngine, after failure: EngineError) async -> Step {
        var failure = failure
        while !Task.isCancelled {
            _ = await isOver.value(within: Self.engineTime)
            do throws(EngineError) {
                let found = try await engine.state(of: id)
                return found.isRunning ? .back : .ended(.success(found.exit))
            } catch { failure = error }
            let (isLinked, isCondemned) = state.withLock { ($0.isLinked, $0.isCondemned) }
            // Nobody will ever say more of it.
            if isOver.current != nil {
                let how = "its link ended, and the Docker engine does not say more: \(failure)"
                return .gone(.success(isCondemned ? .signal(SIGKILL) : .lost(how)))
            }
            guard isLinked else { return .gone(.failure(failure)) }
        }
        return .gone(.failure(failure))
    }

    /// Whether it may start.
    private func begin(_ id: String) -> Bool {
        state.withLock { state in
            state.id = id
            return !state.isCondemned
        }
    }

    /// It runs from now on.
    ///
    /// - Returns: whether it was to be killed meanwhile.
    private func isRunning() -> Bool {
        state.withLock { state in
            state.isRunning = true
            return state.isCondemned
        }
    }

    /// Where its output goes: descriptors of the log's pipes.
    private struct Pipe: Sendable {
        let output: Int32
        let error: Int32
    }

    private enum Step: Sendable {
        case ended(Result<ContainerExit, EngineError>)
        /// It is over, whatever the engine says.
        case gone(Result<ReplicaExit, EngineError>)
        /// The engine answers again, and it runs.
        case back
        case output(EngineError?)
        case late
    }

    private func exit(_ end: ContainerExit) -> ReplicaExit {
        if end.isOutOfMemory { return .outOfMemory(limit: plan.config.limits.memory) }
        // Not every engine says what the kernel did.
        if end.status == 128 + SIGKILL, let memory = plan.config.limits.memory, !state.withLock({ $0.isCondemned }) {
            return .lost(
                "\(ReplicaExit.signal(SIGKILL)), maybe by the memory limit: limits.memory is \(ByteSize.text(memory))")
        }
        if end.status > 128, end.status <= 128 + 64 { return .signal(end.status - 128) }
        return .container(end.status, lastLine: state.withLock { $0.lastLine.text })
    }

    /// - Parameter since: when the last line came; nil where there was none.
    private func noteGap(since: Int64?, _ reason: String) {
        let now = LogTime.text(LogTime.now())
        let time = since.map { "between \(LogTime.text($0)) and \(now)" } ?? "before \(now)"
        note("output \(time) is lost, if there was any: \(reason)")
    }

    private func note(_ text: String) {
        log.append(text: "dcf: replica \(number): \(text)", replica: number, stream: .gateway)
    }

    /// The pump reads the other end all the time: what does not fit waits a moment.
    private static func write(_ bytes: [UInt8], to pipe: Int32) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { raw in
                retrying { Glibc.write(pipe, raw.baseAddress, raw.count) }
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    var lastLines: [String] { state.withLock { $0.last }?.all ?? [] }

    // MARK: The link

    func drain(_ link: ReplicaLink) {
        state.withLock { $0.isDrained = true }
        link.drain()
    }

    /// An engine that starts a container again, as "docker restart" does, has nobody for it here.
    func linkIsKnown(_ link: ReplicaLink) {
        if !isDialled() { link.end("its container was started again by somebody else") }
    }

    /// Its watcher has dialled.
    ///
    /// - Returns: whether that is this run's.
    func isDialled() -> Bool {
        state.withLock { state in
            state.isLinked = true
            return !state.hasEnded
        }
    }

    func linkEnded(_ reason: String, isStopping: Bool) {
        guard isStopping else { return kill(isCondemned: false) }
        isOver.settle(())
    }

    func kill() {
        kill(isCondemned: true)
    }

    private func kill(isCondemned: Bool) {
        let id = state.withLock { state in
            if isCondemned { state.isCondemned = true }
            return state.isRunning ? state.id : nil
        }
        isOver.settle(())
        if let id { host.signal(id, SIGKILL) }
    }

    func printStacks() {
        let id = state.withLock { $0.isRunning ? $0.id : nil }
        if let id { host.signal(id, dcf_stack_signal()) }
    }

    /// One that is taken over runs already.
    var takesTurn: Bool { left == nil }

    /// The engine keeps its limit.
    func memory() -> UInt64? { nil }

    func tooSlow(_ limit: Duration) -> ConstructorFailure {
        guard !state.withLock({ $0.isRunning }) else { return constructorTooSlow(limit) }
        return ConstructorFailure(
            summary: "the engine had not started its container after \(limit.inSeconds) s (timeout.start)",
            traceback: "", isElsewhere: true)
    }
}
