internal import CLinux
internal import Environments
internal import FunctionConfig
internal import Glibc
internal import Link
internal import Platform
internal import WatcherLink

/// The backend of a replica in a process of this machine. The process is started by itself, or forked from a template.
final class ProcessBackend: ReplicaBackend {
    /// The signal that makes the watcher print the stacks of its threads to its log, even while C code holds the GIL.
    private static let stackSignal = dcf_stack_signal()
    /// How old a look at the machine's processes may be when the memory of the replica is read.
    private static let lookNanos: Int64 = 500_000_000

    private struct State {
        var process: ReplicaProcess?
        var tree: ReplicaTree?
        var last: LastLines?
        /// The template from which the process is forked, if any, and the reference that keeps the template.
        var template: TemplateProcess?
        var templateReference: TemplateReference?
    }

    let token = LinkToken()
    private let plan: FunctionPlan
    private let source: ProcessSource
    private let number: Int
    /// The GPUs that the replica may use. Empty leaves this to the environment of the gateway.
    private let devices: [GPUDevice]
    private let host: ProcessHost
    private let log: FunctionLog
    /// Whether calls wait for the replica.
    private let isUrgent: @Sendable () -> Bool
    private let state = Lock(State())
    /// Settled when the process is to be killed, even before it has started.
    private let killRequested = Promise<Void>()

    init(
        plan: FunctionPlan, source: ProcessSource, number: Int, devices: [GPUDevice], host: ProcessHost,
        log: FunctionLog, isUrgent: @escaping @Sendable () -> Bool
    ) {
        self.plan = plan
        self.source = source
        self.number = number
        self.devices = devices
        self.host = host
        self.log = log
        self.isUrgent = isUrgent
    }

    /// Finds the template, if the replica is forked from one.
    func prepare(onTurn: @escaping @Sendable (_ waits: Bool) -> Void) async throws(ConstructorFailure) {
        guard let key = plan.templateKey(inherited: host.variables) else { return }
        let reference = host.templates.reference(to: key)
        state.withLock { $0.templateReference = reference }
        let stopped = ConstructorFailure(summary: "it was stopped", traceback: "", isElsewhere: true)
        let result = await withTaskGroup(of: Result<TemplateProcess, ConstructorFailure>.self) { group in
            group.addTask { [self] in
                do throws(ConstructorFailure) {
                    return .success(
                        try await host.templates.template(
                            for: key, log: log, timeout: plan.startTimeout, isUrgent: isUrgent,
                            onTurn: onTurn))
                } catch { return .failure(error) }
            }
            group.addTask { [killRequested] in
                _ = await killRequested.value()
                return .failure(stopped)
            }
            defer { group.cancelAll() }
            return await group.next() ?? .failure(stopped)
        }
        let template = try result.get()
        state.withLock { $0.template = template }
    }

    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit {
        var variables = plan.variables(inherited: host.variables)
        variables[WatcherVariables.link] = host.socket
        variables[WatcherVariables.token] = token.text
        if !devices.isEmpty {
            variables[FunctionConfig.devicesVariable] = devices.map(\.uuid).joined(separator: ",")
        }
        await host.containment.prepareForTheEnd()
        let launch = ReplicaLaunch(
            launcher: host.launcher, python: source.python.python, variables: variables, folder: source.folder,
            cpus: plan.config.limits.wholeCPUs, tree: host.containment.makeTree())
        state.withLock { $0.tree = launch.tree }
        defer { state.withLock { $0.tree = nil } }
        let template = state.withLock { $0.template }
        defer { releaseTemplate() }
        var written = LogOutput(to: log, replica: number, through: host.logs)
        state.withLock { [last = written.last] in $0.last = last }
        let result: Result<ReplicaExit, ConstructorFailure>
        do throws(ConstructorFailure) {
            result = .success(try await run(launch, template, &written, onStart))
        } catch { result = .failure(error) }
        await written.finish()
        return try result.get()
    }

    private func run(
        _ launch: ReplicaLaunch, _ template: TemplateProcess?, _ written: inout LogOutput,
        _ onStart: @escaping @Sendable (Int32) -> Void
    ) async throws(ConstructorFailure) -> ReplicaExit {
        do {
            let output = try written.makePipe(.stdout)
            let error = try written.makePipe(.stderr)
            let started: @Sendable (ReplicaProcess) -> Void = { [self] process in
                state.withLock { $0.process = process }
                onStart(process.pid)
                if killRequested.current != nil { process.kill() }
            }
            guard let template else {
                return try await ReplicaProcess.run(launch, output: output, error: error, onStart: started)
            }
            return try await ReplicaProcess.run(
                launch, from: template, output: output, error: error, onStart: started)
        } catch {
            // The machine has no descriptors, memory or processes left.
            throw ConstructorFailure(summary: "\(error)", traceback: "", isElsewhere: true)
        }
    }

    var lastLines: [String] { state.withLock { $0.last }?.all ?? [] }

    private func releaseTemplate() {
        let reference = state.withLock { state in
            state.template = nil
            return state.templateReference.take()
        }
        // Not under the lock: this may end the template.
        withExtendedLifetime(reference) {}
    }

    func kill() {
        killRequested.settle(())
        state.withLock { $0.process }?.kill()
    }

    func printStacks() {
        state.withLock { $0.process }?.signal(Self.stackSignal)
    }

    func memory() -> UInt64? {
        guard let tree = state.withLock({ $0.tree }) else { return nil }
        let pids = tree.members(since: dcf_monotonic_nanoseconds() - Self.lookNanos)
        return ProcessMemory.resident(of: pids, limit: plan.config.limits.memory ?? .max)
    }
}

/// What the replicas that are processes of this machine share.
struct ProcessHost: Sendable {
    /// The path of the unix socket that watchers dial.
    let socket: String
    let logs: LogPump
    /// The path of `dcf-watcher`.
    let launcher: String
    let containment: Containment
    /// The environment of the gateway.
    let variables: [String: String]
    let templates: TemplatePool
}
