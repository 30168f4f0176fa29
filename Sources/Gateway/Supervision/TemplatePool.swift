internal import Environments
internal import Locks
internal import Logging

/// The templates that are wanted: one for each key, started when the first replica of it is, started again when it has died,
/// and ended when nobody wants it any more.
final class TemplatePool: Sendable {
    private struct Entry {
        /// How many claims there are: of versions that may start replicas, and of replicas that run.
        var wants = 0
        var template: TemplateProcess?
    }

    private let launcher: String
    private let containment: Containment
    private let logs: LogPump
    private let tasks: TaskPool
    private let starts: StartQueue
    private let logger: Logger
    private let watch: DescriptorWatch
    private let entries = Lock<[TemplateKey: Entry]>([:], .templatePool)

    init(
        launcher: String, containment: Containment, logs: LogPump, tasks: TaskPool, starts: StartQueue, logger: Logger
    ) throws(FileError) {
        self.launcher = launcher
        self.containment = containment
        self.logs = logs
        self.tasks = tasks
        self.starts = starts
        self.logger = logger
        watch = try DescriptorWatch()
    }

    /// The claim to a template; see `TemplateClaim`.
    func claim(_ key: TemplateKey) -> TemplateClaim {
        TemplateClaim(key, in: self)
    }

    /// Its template is kept once it is there, until as many calls of `release`.
    func want(_ key: TemplateKey) {
        entries.withLock { $0[key, default: Entry()].wants += 1 }
    }

    func release(_ key: TemplateKey) {
        let unwanted = entries.withLock { entries -> TemplateProcess? in
            entries[key]?.wants -= 1
            guard let entry = entries[key], entry.wants <= 0 else { return nil }
            entries[key] = nil
            return entry.template
        }
        unwanted?.stop()
    }

    /// The template with its imports done; started if it is not there. The caller has a claim to it.
    ///
    /// - Parameters:
    ///   - log: gets what the imports print, should it be started.
    ///   - timeout: how long the imports may take then, from its turn to start.
    ///   - isUrgent: whether calls wait for it.
    ///   - onTurn: whether it waits for its turn, when that begins and when it ends.
    /// - Throws: why it is refused.
    func template(
        for key: TemplateKey, log: FunctionLog, timeout: Duration, isUrgent: @escaping @Sendable () -> Bool,
        onTurn: @escaping @Sendable (_ waits: Bool) -> Void = { _ in }
    ) async throws(ConstructorFailure) -> TemplateProcess {
        let (template, isNew) = try current(key)
        if isNew { tasks.add { [self] in await start(template, log, timeout, isUrgent, onTurn) } }
        guard let outcome = await template.outcome.value() else {
            throw ConstructorFailure(summary: "it was stopped", traceback: "", isElsewhere: true)
        }
        try outcome.get()
        return template
    }

    /// Ends all templates, once there are no replicas any more.
    func endAll() {
        for entry in entries.withLock({ Array($0.values) }) { entry.template?.stop() }
    }

    /// Ends the watch; there are no templates any more.
    func stop() {
        watch.stop()
    }

    private func current(_ key: TemplateKey) throws(ConstructorFailure) -> (template: TemplateProcess, isNew: Bool) {
        let found = entries.withLock { entries -> Result<(TemplateProcess, Bool), FileError> in
            if let template = entries[key]?.template, template.isUsable { return .success((template, false)) }
            do throws(FileError) {
                let template = try TemplateProcess(key: key, watch: watch)
                entries[key, default: Entry()].template = template
                return .success((template, true))
            } catch { return .failure(error) }
        }
        do throws(FileError) {
            return try found.get()
        } catch {
            throw ConstructorFailure(summary: "preload: \(error)", traceback: "", isElsewhere: true)
        }
    }

    /// The imports are a start like a constructor: they wait for their turn.
    private func start(
        _ template: TemplateProcess, _ log: FunctionLog, _ timeout: Duration,
        _ isUrgent: @escaping @Sendable () -> Bool, _ onTurn: @Sendable (_ waits: Bool) -> Void
    ) async {
        let turn = await starts.turn(isUrgent: isUrgent, until: template.stopped) { onTurn(true) }
        onTurn(false)
        await withTaskGroup(of: Void.self) { group in
            if let turn {
                group.addTask { await turn.endWhenIdle { template.pid } }
                group.addTask {
                    await template.end(after: timeout)
                    turn.end()
                }
            }
            await run(template, log)
            group.cancelAll()
        }
    }

    private func run(_ template: TemplateProcess, _ log: FunctionLog) async {
        let modules = template.key.modules.joined(separator: ", ")
        var pipes: [UInt64] = []
        do throws(FileError) {
            let output = try logs.makePipe(to: log, replica: 0, stream: .stdout, &pipes)
            let error = try logs.makePipe(to: log, replica: 0, stream: .stderr, &pipes)
            await template.run(launcher: launcher, output: output, error: error, tree: containment.makeTree())
        } catch {
            template.end("\(error)", .elsewhere)
        }
        for pipe in pipes { logs.finish(pipe) }
        let isWanted = entries.withLock { entries in
            guard entries[template.key]?.template === template else { return false }
            entries[template.key]?.template = nil
            return true
        }
        if isWanted, case .success = template.outcome.current {
            logger.warning("the template with \(modules) has ended; the next replica starts a new one")
        }
    }
}
