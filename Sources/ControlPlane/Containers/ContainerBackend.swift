internal import CLinux
internal import Engine
internal import FunctionConfig
internal import Glibc
internal import Link
internal import Platform

/// A replica in its own container.
final class ContainerBackend: ReplicaBackend {
    private struct State {
        /// The container's id; nil before the container is made.
        var id: String?
        var isRunning = false
        var killRequested = false
        /// Whether the watcher was told to end once it has no calls.
        var isDrained = false
        /// Whether the watcher has dialled.
        var isLinked = false
        /// Whether the container has ended. An engine may start it again nevertheless.
        var hasEnded = false
        /// The last line that the container wrote to its standard error.
        var lastLine = LastLine()
        var last: LastLines?
    }

    /// The pause before a container is replaced that another program told to end. An engine that stops tells all
    /// containers to end; a container that it is asked to start meanwhile would start and be forgotten.
    private static let stoppedTime = Duration.seconds(1)
    /// How long a container may take to end by itself once its replica's link has ended, before it is killed.
    private static let deathTime = Duration.milliseconds(300)
    /// How often an engine that does not answer is asked again.
    private static let engineTime = Duration.milliseconds(500)
    /// How long the last output may take after the container's end.
    private static let outputTime = Duration.seconds(2)

    let token: LinkToken
    /// The container of an earlier gateway process that this replica adopts; nil when it makes a new one.
    private let orphan: OrphanContainer?
    private let plan: FunctionPlan
    private let source: ImageSource
    private let number: Int
    /// The GPUs that the container gets.
    private let devices: [GPUDevice]
    private let host: ContainerHost
    private let logs: LogPump
    private let log: FunctionLog
    private let state = Lock(State())
    /// Set when the container was killed or the link has ended. Then the run ends even if the engine does not answer.
    private let isOver = Promise<Void>()

    init(
        plan: FunctionPlan, source: ImageSource, number: Int, devices: [GPUDevice], host: ContainerHost, logs: LogPump,
        log: FunctionLog
    ) {
        orphan = host.adopt(plan.name, version: plan.record.version, replica: number)
        token = orphan?.token ?? LinkToken()
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
            if let orphan {
                defer { host.discard(orphan.name, id: orphan.id) }
                return try await run(orphan.id, on: engine, onStart)
            }
            let spec = try host.spec(plan, source, replica: number, devices: devices, token: token)
            let name = spec.name ?? ""
            var known: String?
            defer { host.discard(name, id: known) }
            let id: String
            do throws(EngineError) {
                id = try await host.make(spec, of: source, function: plan.name)
            } catch {
                // The engine may have made the container and then stopped before it answered.
                if error.kind != .unreachable { known = name }
                throw error
            }
            known = id
            return try await run(id, on: engine, onStart)
        } catch {
            // The author can correct a request that the engine refuses. Trouble of the engine itself, or of a registry
            // that does not give an image again, is not the function's fault.
            let isElsewhere = error.isEngines || error.kind == .registry
            throw ConstructorFailure(summary: "\(error)", traceback: "", isElsewhere: isElsewhere)
        }
    }

    /// Starts the container, and copies its output to the log until it ends.
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
                guard mayStart(id) else { throw EngineError(.failed, "it was stopped") }
                if orphan == nil { try await start(id, on: engine) }
                if noteRunning() { host.signal(id, SIGKILL) }
                onStart((try? await engine.pid(of: id)) ?? 0)
            } catch {
                return Result<ReplicaExit, EngineError>.failure(error)
            }
            if let orphan { noteGap(since: orphan.lastLine, "the gateway was away") }
            wait(id, on: engine, &group)
            return await follow(toItsEnd: id, on: engine, pipe, &group)
        }
    }

    /// Copies the container's output to the log. Returns when no more output is missed, or when the output cannot be
    /// read.
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

    /// Waits for the container's end. The engine reports it; while the engine is away, the end of the link does.
    private func follow(
        toItsEnd id: String, on engine: any ContainerEngine, _ pipe: Pipe, _ group: inout TaskGroup<Step>
    ) async -> Result<ReplicaExit, EngineError> {
        var end: Result<ReplicaExit, EngineError>?
        var hasOutput = true
        // Whether the engine was away since the output was last followed.
        var wasAway = false
        var outputEndedAt: Int64?
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
                // The engine was away when the container was to be killed.
                if isOver.current != nil { host.signal(id, SIGKILL) }
            case .output(let failure):
                hasOutput = false
                outputEndedAt = LogTime.now()
                if let failure, !failure.isEngines, end == nil { note("its output cannot be read: \(failure)") }
            case .late:
                hasOutput = false
            }
            if wasAway, !hasOutput, end == nil {
                await follow(id, on: engine, pipe, &group)
                if let since = outputEndedAt { noteGap(since: since, "the Docker engine was away") }
                (wasAway, hasOutput) = (false, true)
            }
        }
        return end ?? .failure(EngineError(.failed, "it was stopped"))
    }

    /// Whether it ended as after a SIGTERM that the gateway did not send.
    private func isStoppedByOthers(_ exit: ContainerExit) -> Bool {
        guard exit.status == 0 || exit.status == 128 + SIGTERM else { return false }
        return state.withLock { $0.isLinked && !$0.killRequested && !$0.isDrained }
    }

    private func start(_ id: String, on engine: any ContainerEngine) async throws(EngineError) {
        do throws(EngineError) { try await engine.start(id) } catch {
            // Another program has removed the container just after it was made.
            guard EngineMessage.noContainer.isSaid(in: error.description) else { throw error }
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

    /// Asks for the container's state after an engine was stopped, killed or restarted, until the engine answers. The
    /// container may have run on; it certainly has while its link is up.
    private func askAgain(_ id: String, on engine: any ContainerEngine, after failure: EngineError) async -> Step {
        var failure = failure
        while !Task.isCancelled {
            _ = await isOver.value(within: Self.engineTime)
            do throws(EngineError) {
                let found = try await engine.state(of: id)
                return found.isRunning ? .back : .ended(.success(found.exit))
            } catch { failure = error }
            let (isLinked, killRequested) = state.withLock { ($0.isLinked, $0.killRequested) }
            // Neither the link nor the engine will report more.
            if isOver.current != nil {
                let how = "its link ended, and the Docker engine does not say more: \(failure)"
                return .gone(.success(killRequested ? .signal(SIGKILL) : .lost(how)))
            }
            guard isLinked else { return .gone(.failure(failure)) }
        }
        return .gone(.failure(failure))
    }

    /// Notes the container's id.
    ///
    /// - Returns: whether the container may start.
    private func mayStart(_ id: String) -> Bool {
        state.withLock { state in
            state.id = id
            return !state.killRequested
        }
    }

    /// Notes that the container runs.
    ///
    /// - Returns: whether it must be killed, because that was asked for meanwhile.
    private func noteRunning() -> Bool {
        state.withLock { state in
            state.isRunning = true
            return state.killRequested
        }
    }

    /// The descriptors of the log's pipes, for the container's output.
    private struct Pipe: Sendable {
        let output: Int32
        let error: Int32
    }

    private enum Step: Sendable {
        case ended(Result<ContainerExit, EngineError>)
        /// The run is over, whatever the engine reports.
        case gone(Result<ReplicaExit, EngineError>)
        /// The engine answers again, and the container runs.
        case back
        case output(EngineError?)
        case late
    }

    private func exit(_ end: ContainerExit) -> ReplicaExit {
        if end.isOutOfMemory { return .outOfMemory(limit: plan.config.limits.memory) }
        // Not every engine reports that the kernel killed the container for its memory.
        if end.status == 128 + SIGKILL, let memory = plan.config.limits.memory, !state.withLock({ $0.killRequested }) {
            return .lost(
                "\(ReplicaExit.signal(SIGKILL)), maybe by the memory limit: limits.memory is \(ByteSize.text(memory))")
        }
        if end.status > 128, end.status <= 128 + 64 { return .signal(end.status - 128) }
        return .container(end.status, lastLine: state.withLock { $0.lastLine.text })
    }

    /// - Parameter since: when the last line came; nil when there was none.
    private func noteGap(since: Int64?, _ reason: String) {
        let now = LogTime.text(LogTime.now())
        let time = since.map { "between \(LogTime.text($0)) and \(now)" } ?? "before \(now)"
        note("output \(time) is lost, if there was any: \(reason)")
    }

    private func note(_ text: String) {
        log.append(text: "dcf: replica \(number): \(text)", replica: number, stream: .gateway)
    }

    /// Blocks for a moment when the pipe is full. The pump reads its other end all the time.
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

    /// An engine may start the container again after its end, as "docker restart" does. That container belongs to no
    /// replica.
    func linkIsKnown(_ link: ReplicaLink) {
        if !noteDialled() { link.end("another program started its container again") }
    }

    /// Notes that a watcher has dialled.
    ///
    /// - Returns: whether it is the watcher of this run.
    func noteDialled() -> Bool {
        state.withLock { state in
            state.isLinked = true
            return !state.hasEnded
        }
    }

    func linkEnded(_ end: LinkEnd, isStopping: Bool) {
        // A replica that has died ends its link first. Its container's first process then says how it died.
        if !isStopping, let id = runningID {
            host.signal(id, SIGKILL, after: Self.deathTime) { [self] in runningID != nil }
        }
        isOver.settle(())
    }

    func kill() {
        let id = state.withLock { state in
            state.killRequested = true
            return state.isRunning ? state.id : nil
        }
        isOver.settle(())
        if let id { host.signal(id, SIGKILL) }
    }

    private var runningID: String? { state.withLock { $0.isRunning ? $0.id : nil } }

    func printStacks() {
        if let id = runningID { host.signal(id, dcf_stack_signal()) }
    }

    /// False for an adopted container, which runs already.
    var takesTurn: Bool { orphan == nil }

    /// Nil: the engine keeps the memory limit.
    func memory() -> UInt64? { nil }

    func tooSlow(_ limit: Duration) -> ConstructorFailure {
        guard !state.withLock({ $0.isRunning }) else { return constructorTooSlow(limit) }
        return ConstructorFailure(
            summary: "the engine had not started its container after \(limit.inSeconds) s (timeout.start)",
            traceback: "", isElsewhere: true)
    }
}

/// The last line of a text that comes in parts. Of a long line, only the beginning is kept.
struct LastLine: Sendable {
    private static let bytesMax = 1_000

    private var current: [UInt8] = []
    private var before: [UInt8] = []

    mutating func add(_ bytes: [UInt8]) {
        for byte in bytes {
            if byte == 0x0A {
                if !Self.isBlank(current) { before = current }
                current = []
            } else if current.count < Self.bytesMax {
                current.append(byte)
            }
        }
    }

    /// The last line that is not blank; empty when there is none.
    var text: String {
        let line = Self.isBlank(current) ? before : current
        return String(decoding: line.filter { $0 >= 0x20 }, as: UTF8.self)
    }

    private static func isBlank(_ line: [UInt8]) -> Bool { line.allSatisfy { $0 <= 0x20 } }
}
