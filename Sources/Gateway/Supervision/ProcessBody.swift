internal import CLinux
internal import Environments
internal import FunctionConfig
internal import Glibc
internal import Locks

/// A replica in a process of this machine: started by itself, or forked from a template.
final class ProcessBody: ReplicaBody {
    /// Has the watcher print the stacks of its threads to its log, also while C code holds the GIL.
    private static let stackSignal = dcf_stack_signal()
    /// How old a look at the machine's processes may be that its memory is read after.
    private static let lookNanos: Int64 = 500_000_000

    private struct State {
        var process: ReplicaProcess?
        var tree: ReplicaTree?
        var last: LastLines?
        /// What its process is forked from, if it is, and the claim that keeps it.
        var template: TemplateProcess?
        var claim: TemplateClaim?
    }

    let token = LinkToken()
    private let plan: FunctionPlan
    private let source: ProcessSource
    private let number: Int
    /// Those that it may use; empty leaves it to the gateway's own environment.
    private let devices: [GPUDevice]
    private let context: SupervisionContext
    private let log: FunctionLog
    /// Whether calls wait for it.
    private let isUrgent: @Sendable () -> Bool
    private let state = Lock(State())
    /// Settled when its process is to end, whether or not there is one yet.
    private let condemned = Promise<Void>()

    init(
        plan: FunctionPlan, source: ProcessSource, number: Int, devices: [GPUDevice], context: SupervisionContext,
        log: FunctionLog, isUrgent: @escaping @Sendable () -> Bool
    ) {
        self.plan = plan
        self.source = source
        self.number = number
        self.devices = devices
        self.context = context
        self.log = log
        self.isUrgent = isUrgent
    }

    /// Its template, if it is forked from one.
    func prepare(onTurn: @escaping @Sendable (_ waits: Bool) -> Void) async throws(ConstructorFailure) {
        guard let key = plan.templateKey(inherited: context.variables) else { return }
        let claim = context.templates.claim(key)
        state.withLock { $0.claim = claim }
        let stopped = ConstructorFailure(summary: "it was stopped", traceback: "", isElsewhere: true)
        let result = await withTaskGroup(of: Result<TemplateProcess, ConstructorFailure>.self) { group in
            group.addTask { [self] in
                do throws(ConstructorFailure) {
                    return .success(
                        try await context.templates.template(
                            for: key, log: log, timeout: plan.startTimeout, isUrgent: isUrgent,
                            onTurn: onTurn))
                } catch { return .failure(error) }
            }
            group.addTask { [condemned] in
                _ = await condemned.value()
                return .failure(stopped)
            }
            defer { group.cancelAll() }
            return await group.next() ?? .failure(stopped)
        }
        let template = try result.get()
        state.withLock { $0.template = template }
    }

    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit {
        var variables = plan.variables(inherited: context.variables)
        variables["DCF_LINK"] = context.links.path
        variables["DCF_TOKEN"] = token.text
        if !devices.isEmpty {
            variables[FunctionConfig.devicesVariable] = devices.map(\.uuid).joined(separator: ",")
        }
        await context.containment.prepareForTheEnd()
        let launch = ReplicaLaunch(
            launcher: context.launcher, python: source.python.python, variables: variables, folder: source.folder,
            cpus: plan.config.limits.wholeCPUs, tree: context.containment.makeTree())
        state.withLock { $0.tree = launch.tree }
        defer { state.withLock { $0.tree = nil } }
        let template = state.withLock { $0.template }
        defer { releaseTemplate() }
        var written = LogOutput(to: log, replica: number, through: context.logs)
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
                if condemned.current != nil { process.kill() }
            }
            guard let template else {
                return try await ReplicaProcess.run(launch, output: output, error: error, onStart: started)
            }
            return try await ReplicaProcess.run(
                launch, from: template, output: output, error: error, onStart: started)
        } catch {
            // No descriptors, no memory, no process: the machine's.
            throw ConstructorFailure(summary: "\(error)", traceback: "", isElsewhere: true)
        }
    }

    var lastLines: [String] { state.withLock { $0.last }?.all ?? [] }

    private func releaseTemplate() {
        let claim = state.withLock { state in
            state.template = nil
            return state.claim.take()
        }
        // Not under the lock: it may end the template.
        withExtendedLifetime(claim) {}
    }

    func kill() {
        condemned.settle(())
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
