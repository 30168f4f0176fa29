internal import Logging
internal import Platform

/// The templates, one for each key. A template is started with the first replica that needs it, started again if it has
/// died, and ended when nothing refers to it any more. Safe to use from any thread.
final class TemplatePool: Sendable {
    private struct Entry {
        /// How many references there are: from versions that may start replicas, and from replicas that run.
        var references = 0
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

    /// Makes a reference to a template.
    func reference(to key: TemplateKey) -> TemplateReference {
        TemplateReference(key, in: self)
    }

    /// Adds a reference: the template is kept until as many calls of `release`.
    fileprivate func retain(_ key: TemplateKey) {
        entries.withLock { $0[key, default: Entry()].references += 1 }
    }

    fileprivate func release(_ key: TemplateKey) {
        let unwanted = entries.withLock { entries -> TemplateProcess? in
            entries[key]?.references -= 1
            guard let entry = entries[key], entry.references <= 0 else { return nil }
            entries[key] = nil
            return entry.template
        }
        unwanted?.stop()
    }

    /// Returns the template with its imports done. Starts it if it does not run. The caller holds a reference to it.
    ///
    /// - Parameters:
    ///   - log: gets the output of the imports, if the template is started.
    ///   - timeout: how long the imports may take, from the template's turn to start.
    ///   - isUrgent: whether calls wait for the replica.
    ///   - onTurn: called when the template begins to wait for its turn, and when that wait ends.
    /// - Throws: the reason why there is no template.
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

    /// Ends all templates. There are no replicas any more.
    func endAll() {
        for entry in entries.withLock({ Array($0.values) }) { entry.template?.stop() }
    }

    /// Ends the watch. There are no templates any more.
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

    /// Starts a template. Imports wait for their turn to start, as constructors do.
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

/// What functions must have in common to share a template: everything that an import can see.
struct TemplateKey: Sendable, Hashable {
    /// The path of the interpreter.
    var python: String
    /// The modules that the template imports, in this order.
    var modules: [String]
    /// The environment, without the variables that differ between functions or replicas.
    var variables: [String: String]
    /// The folder in which the template runs.
    var folder: String
}

/// A reference to a template. A template that exists is kept as long as this value lives.
final class TemplateReference: Sendable {
    private let pool: TemplatePool
    private let key: TemplateKey

    init(_ key: TemplateKey, in pool: TemplatePool) {
        self.pool = pool
        self.key = key
        pool.retain(key)
    }

    deinit { pool.release(key) }
}
