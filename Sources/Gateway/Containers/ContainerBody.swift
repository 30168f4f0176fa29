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
        /// The last line that it wrote to its standard error.
        var lastLine = LastLine()
    }

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
                return exit(try await run(left.id, on: engine, onStart))
            }
            let spec = try host.spec(plan, source, replica: number, devices: devices, token: token)
            var id: String?
            defer { host.discard(spec.name ?? "", id: id) }
            let made = try await engine.createContainer(spec)
            id = made
            return exit(try await run(made, on: engine, onStart))
        } catch {
            // Whatever the engine says, the handler has not run, or goes on as far as anybody knows.
            throw ConstructorFailure(summary: "\(error)", traceback: "", isElsewhere: true)
        }
    }

    /// Starts it, and has its output go to the log until it ends.
    private func run(
        _ id: String, on engine: any ContainerEngine, _ onStart: @Sendable (Int32) -> Void
    ) async throws(EngineError) -> ContainerExit {
        var pipes: [UInt64] = []
        defer { for pipe in pipes { logs.finish(pipe) } }
        let output = try makePipe(.stdout, &pipes)
        let error = try makePipe(.stderr, &pipes)
        let (outputNumber, errorNumber) = (output.rawValue, error.rawValue)
        defer {
            withExtendedLifetime(output) {}
            withExtendedLifetime(error) {}
        }
        let end = await withTaskGroup(of: Step.self) { group in
            let attached = Promise<Void>()
            group.addTask { [self] in
                do throws(EngineError) {
                    try await engine.attach(id, input: nil, onAttached: { attached.settle(()) }) {
                        [self] stream, bytes in
                        if stream == .standardError { state.withLock { $0.lastLine.add(bytes) } }
                        Self.write(bytes, to: stream == .standardError ? errorNumber : outputNumber)
                    }
                } catch {
                    attached.settle(())
                    return .output(error)
                }
                return .output(nil)
            }
            _ = await attached.value()
            do throws(EngineError) {
                guard begin(id) else { throw EngineError(.failed, "it was stopped") }
                if left == nil { try await engine.start(id) }
                if isRunning() { host.signal(id, SIGKILL) }
                onStart((try? await engine.pid(of: id)) ?? 0)
            } catch {
                group.cancelAll()
                return Result<ContainerExit, EngineError>.failure(error)
            }
            group.addTask {
                do throws(EngineError) { return .ended(.success(try await engine.wait(id))) } catch {
                    return .ended(.failure(error))
                }
            }
            var end: Result<ContainerExit, EngineError>?
            var hasOutput = true
            while end == nil || hasOutput, let step = await group.next() {
                switch step {
                case .ended(let result):
                    end = result
                    state.withLock { $0.isRunning = false }
                    group.addTask {
                        try? await Task.sleep(for: Self.outputTime)
                        return .late
                    }
                case .output(let failure):
                    hasOutput = false
                    if let failure, end == nil { note("its output cannot be read: \(failure)") }
                case .late:
                    hasOutput = false
                }
            }
            group.cancelAll()
            return end ?? .failure(EngineError(.failed, "it was stopped"))
        }
        return try end.get()
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

    /// The container ends with the run where there can be no pipe.
    private func makePipe(
        _ stream: LogStream, _ pipes: inout [UInt64]
    ) throws(EngineError) -> OwnedDescriptor {
        do throws(FileError) {
            return try logs.makePipe(to: log, replica: number, stream: stream, &pipes)
        } catch let failure { throw EngineError(.failed, "\(failure)") }
    }

    private enum Step: Sendable {
        case ended(Result<ContainerExit, EngineError>)
        case output(EngineError?)
        case late
    }

    private func exit(_ end: ContainerExit) -> ReplicaExit {
        if end.isOutOfMemory { return .outOfMemory(limit: plan.config.limits.memory) }
        if end.status > 128, end.status <= 128 + 64 { return .signal(end.status - 128) }
        return .container(end.status, lastLine: state.withLock { $0.lastLine.text })
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

    func kill() {
        let id = state.withLock { state in
            state.isCondemned = true
            return state.isRunning ? state.id : nil
        }
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
