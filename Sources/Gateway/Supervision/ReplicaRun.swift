internal import CLinux
internal import Environments
internal import FunctionConfig
internal import GRPC
internal import Glibc
internal import Logging
internal import Synchronization
internal import SystemPackage
internal import WatcherLink

/// One process of a replica, from its start to its end.
///
/// Its link, its process, its timers and its supervisor all tell it what happens; it acts on one event after another.
final class ReplicaRun: ReplicaLinkObserver {
    /// Has the watcher print the stacks of its threads to its log, also while C code holds the GIL.
    private static let stackSignal = dcf_stack_signal()

    private enum Event: Sendable {
        case ready(ReplicaLink, constructorMicros: UInt64)
        case constructorFailed(ConstructorFailure)
        case linkEnded(String)
        case startTimedOut
        case tooLarge(used: UInt64, limit: UInt64)
        case stop(within: Duration?)
        case stuck(hadAnswered: Bool)
        case idle
        case stopTimedOut
        case exited(ReplicaExit)
    }

    /// What the sweeper's thread needs to see.
    private struct Overrun {
        var process: ReplicaProcess?
        var isKilled = false
        /// Whether its template is still at the imports.
        var isPreloading = false
    }

    let settings: [UInt8]
    private let plan: FunctionPlan
    private let number: Int
    /// Those that it may use; empty leaves it to the gateway's own environment.
    private let devices: [GPUDevice]
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let onReady: @Sendable (ReplicaSlots, _ constructorMicros: UInt64) -> Void
    private let onStart: @Sendable (pid_t) -> Void
    private let onStuck: @Sendable (_ hadAnswered: Bool) -> Void
    private let events: AsyncStream<Event>
    private let feed: AsyncStream<Event>.Continuation
    private let overrun = Mutex(Overrun())
    /// Settled when its process is to end, whether or not there is one yet.
    private let condemned = Promise<Void>()

    /// - Parameters:
    ///   - onStart: the process runs.
    ///   - onReady: the handler is constructed; called before any other event is looked at.
    ///   - onStuck: a call goes on well beyond its deadline, and the replica was not told to stop: it gets no more calls, and
    ///     the run comes to its end as if it had been told to stop.
    init(
        plan: FunctionPlan, number: Int, devices: [GPUDevice], context: SupervisionContext, log: FunctionLog,
        route: FunctionRoute,
        onStart: @escaping @Sendable (pid_t) -> Void,
        onReady: @escaping @Sendable (ReplicaSlots, _ constructorMicros: UInt64) -> Void,
        onStuck: @escaping @Sendable (_ hadAnswered: Bool) -> Void
    ) {
        self.plan = plan
        self.number = number
        self.devices = devices
        self.context = context
        self.log = log
        self.route = route
        self.onStart = onStart
        self.onReady = onReady
        self.onStuck = onStuck
        settings = plan.settings
        (events, feed) = AsyncStream.makeStream(of: Event.self)
    }

    /// Ends the run in good order: what its replica has is finished first.
    ///
    /// - Parameter limit: how long that may take; nil leaves it to the calls' own deadlines.
    func stop(within limit: Duration?) {
        feed.yield(.stop(within: limit))
    }

    // MARK: ReplicaLinkObserver

    func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64) {
        feed.yield(.ready(link, constructorMicros: constructorMicros))
    }

    func linkFailed(_ failed: Failed, traceback: String) {
        feed.yield(.constructorFailed(ConstructorFailure(summary: failed.summary, traceback: traceback)))
    }

    func linkEnded(_ link: ReplicaLink, reason: String) {
        feed.yield(.linkEnded(reason))
    }

    // MARK: The run

    func run() async -> ReplicaEnd {
        let token = LinkToken()
        context.links.expect(token, for: self)
        defer { context.links.forget(token) }
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                feed.yield(.exited(await runProcess(token)))
            }
            addTimer(plan.startTimeout, .startTimedOut, to: &group)
            if let limit = plan.config.limits.memory {
                group.addTask { [self] in await watchMemory(limit) }
            }
            var life = Life()
            for await event in events {
                if let end = await handle(event, &life, &group) {
                    group.cancelAll()
                    return end
                }
            }
            // The stream never ends by itself.
            return .stopped
        }
    }

    /// What has happened so far.
    private struct Life {
        var slots: ReplicaSlots?
        var isStopping = false
        /// Why it was killed, if it was killed for a reason of its own.
        var verdict: String?
        var failure: ConstructorFailure?
    }

    private func handle(_ event: Event, _ life: inout Life, _ group: inout TaskGroup<Void>) async -> ReplicaEnd? {
        switch event {
        case .ready(let link, let constructorMicros):
            let slots = ReplicaSlots(link: link, settings: plan.routeSettings) { [self] in overran($0) }
            link.serve(slots, of: route)
            life.slots = slots
            onReady(slots, constructorMicros)
        case .constructorFailed(let failure):
            // One that was killed for a reason may report what the kill did.
            if life.verdict == nil { life.failure = failure }
        case .startTimedOut:
            guard life.slots == nil, !life.isStopping else { return nil }
            let limit = plan.startTimeout
            let isPreloading = overrun.withLock { $0.isPreloading }
            kill(
                &life,
                isPreloading
                    ? TemplateProcess.tooSlow(limit).summary
                    : "the constructor had not returned after \(limit.inSeconds) s (timeout.start)")
            life.failure = ConstructorFailure(summary: life.verdict ?? "", traceback: "")
        case .tooLarge(let used, let limit):
            kill(&life, "its processes held \(used) bytes of memory, limits.memory is \(limit)")
        case .linkEnded(let reason):
            // It cannot be called any more. One that is told to stop ends its link and then itself.
            guard !life.isStopping else { return nil }
            if reason.hasPrefix(ReplicaLink.protocolError) { kill(&life, reason) } else { killProcess() }
        case .stop(let limit):
            if let limit { addTimer(limit, .stopTimedOut, to: &group) }
            guard !life.isStopping else { return nil }
            retire(&life)
        case .stuck(let hadAnswered):
            guard !life.isStopping else { return nil }
            retire(&life)
            onStuck(hadAnswered)
        case .idle:
            life.slots?.link.drain()
            addTimer(context.limits.stop, .stopTimedOut, to: &group)
        case .stopTimedOut:
            killProcess()
        case .exited(let exit):
            return await end(exit, life)
        }
        return nil
    }

    /// What it has is finished, and nothing new comes.
    private func retire(_ life: inout Life) {
        life.isStopping = true
        if let slots = life.slots {
            route.retire(slots) { [feed] in feed.yield(.idle) }
        } else {
            // Nothing to finish: it is still being constructed.
            killProcess()
        }
    }

    private func addTimer(_ duration: Duration, _ event: Event, to group: inout TaskGroup<Void>) {
        group.addTask { [feed] in
            do { try await Task.sleep(for: duration) } catch { return }
            feed.yield(event)
        }
    }

    private func kill(_ life: inout Life, _ verdict: String) {
        if life.verdict == nil { life.verdict = verdict }
        note("killed: \(verdict)")
        killProcess()
    }

    private func killProcess() {
        condemned.settle(())
        overrun.withLock { $0.process }?.kill()
    }

    private func end(_ exit: ReplicaExit, _ life: Life) async -> ReplicaEnd {
        let stuck = overrun.withLock { $0.isKilled ? "its handler went on beyond the deadline of its call" : nil }
        let how = life.verdict ?? stuck ?? "\(exit)"
        if let slots = life.slots {
            // Replies that it wrote before it ended still count.
            await context.links.finish(slots.link, how: how)
            let hadAnswered = slots.hasAnswered
            if life.isStopping { return .stopped }
            note("died: \(how)")
            return .died(how: how, hadAnswered: hadAnswered, failure: nil)
        }
        if life.isStopping { return .stopped }
        let failure =
            life.failure
            ?? ConstructorFailure(
                summary: "the process ended before the handler was constructed: \(how)", traceback: "")
        note("not started: \(failure.summary)")
        return .died(how: failure.summary, hadAnswered: false, failure: failure)
    }

    private func note(_ text: String) {
        log.append(text: "dcf: replica \(number) \(text)", replica: number, stream: .gateway)
        context.logger.warning("\(plan.name): replica \(number) \(text)")
    }

    // MARK: The process

    private func runProcess(_ token: LinkToken) async -> ReplicaExit {
        var variables = plan.variables(inherited: context.variables)
        variables["DCF_LINK"] = context.links.path
        variables["DCF_TOKEN"] = token.text
        if !devices.isEmpty {
            variables[FunctionConfig.devicesVariable] = devices.map(\.uuid).joined(separator: ",")
        }
        let launch = ReplicaLaunch(
            launcher: context.launcher, python: plan.python.python, variables: variables, folder: plan.folder,
            cpus: plan.config.limits.cpu.map { max(Int($0.rounded(.up)), 1) })
        var pipes: [UInt64] = []
        // Something that it started may still hold them.
        defer { for pipe in pipes { context.logs.finish(pipe) } }
        let key = plan.templateKey(inherited: context.variables)
        let claim = key.map { context.templates.claim($0) }
        defer { withExtendedLifetime(claim) {} }
        do {
            let template = try await template(key)
            let output = try context.logs.makePipe(to: log, replica: number, stream: .stdout, &pipes)
            let error = try context.logs.makePipe(to: log, replica: number, stream: .stderr, &pipes)
            guard let template else {
                return try await ReplicaProcess.run(launch, output: output, error: error, onStart: started)
            }
            return try await ReplicaProcess.run(
                launch, from: template, output: output, error: error, onStart: started)
        } catch let failure as ConstructorFailure {
            feed.yield(.constructorFailed(failure))
            return .unknown(failure.summary)
        } catch {
            return .unknown("\(error)")
        }
    }

    private func started(_ process: ReplicaProcess) {
        overrun.withLock { $0.process = process }
        onStart(process.pid)
        if condemned.current != nil { process.kill() }
    }

    /// What the process is forked from, if it is.
    private func template(_ key: TemplateKey?) async throws(ConstructorFailure) -> TemplateProcess? {
        guard let key else { return nil }
        overrun.withLock { $0.isPreloading = true }
        let result = await withTaskGroup(of: Result<TemplateProcess, ConstructorFailure>.self) { group in
            group.addTask { [self] in
                do throws(ConstructorFailure) {
                    return .success(
                        try await context.templates.template(for: key, log: log, timeout: plan.startTimeout))
                } catch { return .failure(error) }
            }
            group.addTask { [condemned] in
                _ = await condemned.value()
                return .failure(ConstructorFailure(summary: "it was stopped", traceback: ""))
            }
            defer { group.cancelAll() }
            return await group.next() ?? .failure(ConstructorFailure(summary: "it was stopped", traceback: ""))
        }
        let template = try result.get()
        overrun.withLock { $0.isPreloading = false }
        return template
    }

    private func watchMemory(_ limit: UInt64) async {
        while true {
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
            guard let pid = overrun.withLock({ $0.process })?.pid else { continue }
            let used = ProcessGroupMemory.resident(of: [pid])[pid] ?? 0
            if used > limit {
                feed.yield(.tooLarge(used: used, limit: limit))
                return
            }
        }
    }

    /// On the sweeper's thread: the replica has a call well beyond the call's deadline.
    private func overran(_ report: ReplicaOverrun) {
        overrun.withLock { overrun in
            guard let process = overrun.process, !overrun.isKilled else { return }
            if report.isNew {
                note("has a call beyond its deadline and gets no more; where its threads are follows")
                process.signal(Self.stackSignal)
                feed.yield(.stuck(hadAnswered: report.hadAnswered))
            }
            if report.mustEnd(grace: context.limits.overrunGrace) {
                overrun.isKilled = true
                note("killed: its handler went on beyond the deadline of its call")
                process.kill()
            }
        }
    }
}
