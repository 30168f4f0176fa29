internal import FunctionConfig
internal import GRPC
internal import Glibc
internal import Locks
internal import Logging
internal import Synchronization
internal import WatcherLink

/// One body of a replica, from its start to its end.
///
/// Its link, its body, its timers and its supervisor all tell it what happens; it acts on one event after another.
final class ReplicaRun: ReplicaLinkObserver {
    private enum Event: Sendable {
        /// It is its turn; nil where it needs none.
        case begins(StartTurn?)
        case ready(ReplicaLink, constructorMicros: UInt64)
        case constructorFailed(ConstructorFailure)
        case linkEnded(String)
        case startTimedOut
        case tooLarge(used: UInt64, limit: UInt64)
        case stop(within: Duration?)
        case stuck
        case idle
        case stopTimedOut
        case exited(ReplicaExit)
    }

    let settings: [UInt8]
    private let plan: FunctionPlan
    private let number: Int
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let onReady: @Sendable (ReplicaSlots, _ constructorMicros: UInt64) -> Void
    private let onStart: @Sendable (pid_t) -> Void
    private let onTurn: @Sendable (_ waits: Bool) -> Void
    private let onStuck: @Sendable () -> Void
    private let events: AsyncStream<Event>
    private let feed: AsyncStream<Event>.Continuation
    private let body: any ReplicaBody
    /// The watcher's process; 0 while there is none.
    private let pid = Atomic<Int32>(0)
    /// Whether its watcher has shown who it is.
    private let isLinkKnown = Atomic<Bool>(false)
    /// Settled when it is not to start any more.
    private let isCondemned = Promise<Void>()
    /// Whether it was killed because it was at a call for longer than it may.
    private let isOverrunKilled = Lock(false)

    /// - Parameters:
    ///   - body: what carries the watcher.
    ///   - onTurn: whether it waits for its turn to start, when that begins and when it ends.
    ///   - onStart: the process runs.
    ///   - onReady: the handler is constructed; called before any other event is looked at.
    ///   - onStuck: it was at a call for well longer than it may, and was not told to stop: it gets no more calls, and the run
    ///     comes to its end as if it had been told to stop.
    init(
        plan: FunctionPlan, number: Int, body: any ReplicaBody, context: SupervisionContext, log: FunctionLog,
        route: FunctionRoute,
        onTurn: @escaping @Sendable (_ waits: Bool) -> Void,
        onStart: @escaping @Sendable (pid_t) -> Void,
        onReady: @escaping @Sendable (ReplicaSlots, _ constructorMicros: UInt64) -> Void,
        onStuck: @escaping @Sendable () -> Void
    ) {
        self.plan = plan
        self.number = number
        self.body = body
        self.context = context
        self.log = log
        self.route = route
        self.onTurn = onTurn
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

    func linkIsKnown(_ link: ReplicaLink) {
        isLinkKnown.store(true, ordering: .relaxed)
        body.linkIsKnown(link)
    }

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
        let token = body.token
        context.links.expect(token, for: self)
        defer { context.links.forget(token, for: self) }
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                feed.yield(.exited(await runBody()))
            }
            if let limit = plan.config.limits.memory {
                group.addTask { [self] in await watchMemory(limit) }
            }
            var life = Life()
            for await event in events {
                if let end = await handle(event, &life, &group) {
                    life.turn?.end()
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
        /// To start; until it is Ready.
        var turn: StartTurn?
        /// Whether all is read that it said before it ended.
        var isCaughtUp = false
    }

    private func handle(_ event: Event, _ life: inout Life, _ group: inout TaskGroup<Void>) async -> ReplicaEnd? {
        switch event {
        case .begins(let turn):
            life.turn = turn
            if !plan.isShared { addTimer(plan.startTimeout, .startTimedOut, to: &group) }
            if let turn {
                group.addTask { [self] in await turn.endWhenIdle { pid.load(ordering: .relaxed) } }
            }
        case .ready(let link, let constructorMicros):
            life.turn?.end()
            let slots = ReplicaSlots(link: link, settings: plan.routeSettings) { [self] in overran($0) }
            link.serve(slots, of: route)
            life.slots = slots
            onReady(slots, constructorMicros)
        case .constructorFailed(let failure):
            // One that was killed for a reason may report what the kill did.
            if life.verdict == nil { life.failure = failure }
        case .startTimedOut:
            guard life.slots == nil, !life.isStopping, !life.isCaughtUp else { return nil }
            let failure = body.tooSlow(plan.startTimeout)
            kill(&life, failure.summary)
            life.failure = failure
        case .tooLarge(let used, let limit):
            kill(&life, "its processes held \(used) bytes of memory, limits.memory is \(limit)")
        case .linkEnded(let reason):
            guard !life.isCaughtUp else { return nil }
            if !life.isStopping, reason.hasPrefix(ReplicaLink.protocolError) {
                kill(&life, reason)
            } else {
                body.linkEnded(reason, isStopping: life.isStopping)
            }
        case .stop(let limit):
            if let limit { addTimer(limit, .stopTimedOut, to: &group) }
            guard !life.isStopping else { return nil }
            retire(&life)
        case .stuck:
            guard !life.isStopping else { return nil }
            retire(&life)
            onStuck()
        case .idle:
            if let link = life.slots?.link { body.drain(link) }
            addTimer(context.limits.stop, .stopTimedOut, to: &group)
        case .stopTimedOut:
            body.kill()
        case .exited(let exit):
            if life.slots == nil, !life.isCaughtUp {
                // What it still said comes before its end.
                life.isCaughtUp = true
                await context.links.readAll(of: self)
                feed.yield(event)
                return nil
            }
            return await end(exit, life)
        }
        return nil
    }

    /// What it has is finished, and nothing new comes.
    private func retire(_ life: inout Life) {
        life.isStopping = true
        isCondemned.settle(())
        if let slots = life.slots {
            route.retire(slots) { [feed] in feed.yield(.idle) }
        } else {
            // Nothing to finish: it is still being constructed.
            body.kill()
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
        body.kill()
    }

    private func end(_ exit: ReplicaExit, _ life: Life) async -> ReplicaEnd {
        let stuck = isOverrunKilled.withLock { $0 ? Self.overrun(plan.callTimeout) : nil }
        let how = life.verdict ?? stuck ?? life.failure?.summary ?? "\(exit)"
        if let slots = life.slots {
            // Replies that it wrote before it ended still count.
            await context.links.finish(slots.link, how: how)
            let hadAnswered = slots.hasAnswered
            if life.isStopping { return .stopped }
            note("died: \(how)")
            let cause = life.verdict == nil ? life.failure?.cause ?? exit.cause : .handler
            return .died(how: how, cause: cause, hadAnswered: hadAnswered, failure: nil)
        }
        if life.isStopping { return .stopped }
        var failure = life.failure ?? beforeReady(exit, verdict: life.verdict ?? stuck)
        failure.lastLines = LastLines.of(body.lastLines, besides: failure.traceback)
        note("not started: \(failure.summary)")
        return .died(how: failure.summary, cause: failure.cause, hadAnswered: false, failure: failure)
    }

    /// Why it never became Ready, where its watcher did not say.
    private func beforeReady(_ exit: ReplicaExit, verdict: String?) -> ConstructorFailure {
        if let verdict { return ConstructorFailure(summary: verdict, traceback: "") }
        guard exit != .unavailable || isLinkKnown.load(ordering: .relaxed) else {
            return ConstructorFailure(
                summary:
                    "its watcher could not run, or not reach the gateway at \(context.links.path) (exit status 69); "
                    + "its log says why", traceback: "", isElsewhere: true)
        }
        return ConstructorFailure(
            summary: exit.beforeReady, traceback: "", isElsewhere: exit.cause == .elsewhere)
    }

    private static func overrun(_ limit: Duration) -> String {
        "its handler was at a call for more than \(limit.inSeconds) s (timeout.call)"
    }

    private func note(_ text: String) {
        log.append(text: "dcf: replica \(number) \(text)", replica: number, stream: .gateway)
        context.logger.warning("\(plan.name): replica \(number) \(text)")
    }

    // MARK: The watcher

    private func runBody() async -> ReplicaExit {
        do throws(ConstructorFailure) {
            try await body.prepare(onTurn: onTurn)
            var turn: StartTurn?
            if body.takesTurn {
                turn = await context.starts.turn(
                    isUrgent: { [route] in route.load.waiting > 0 }, until: isCondemned, onWait: { onTurn(true) })
                onTurn(false)
                guard turn != nil else { return .unknown("it was stopped") }
            }
            feed.yield(.begins(turn))
            context.links.repairSockets()
            return try await body.run { [self] pid in
                self.pid.store(pid, ordering: .relaxed)
                onStart(pid)
            }
        } catch {
            feed.yield(.constructorFailed(error))
            return .unknown(error.summary)
        }
    }

    private func watchMemory(_ limit: UInt64) async {
        while true {
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
            guard let used = body.memory(), used > limit else { continue }
            feed.yield(.tooLarge(used: used, limit: limit))
            return
        }
    }

    /// On the sweeper's thread: the replica is at a call for well longer than it may be.
    private func overran(_ report: ReplicaOverrun) {
        let (isNew, mustEnd) = isOverrunKilled.withLock { isKilled in
            guard !isKilled else { return (false, false) }
            isKilled = report.mustEnd(grace: context.limits.overrunGrace)
            return (report.isNew, isKilled)
        }
        if isNew {
            note(
                "is at a call for more than \(plan.callTimeout.inSeconds) s (timeout.call) and gets no more; where its "
                    + "threads are follows")
            body.printStacks()
            feed.yield(.stuck)
        }
        if mustEnd {
            note("killed: \(Self.overrun(plan.callTimeout))")
            body.killStuck()
        }
    }
}
