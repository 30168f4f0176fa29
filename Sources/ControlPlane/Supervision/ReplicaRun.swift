internal import Calls
internal import FunctionConfig
internal import Glibc
internal import Link
internal import Logging
internal import Platform
internal import Synchronization
internal import WatcherLink

/// How one run of a replica ended.
enum ReplicaEnd: Sendable {
    /// The replica was told to stop.
    case stopped
    /// The replica ended although it was not told to.
    ///
    /// - Parameters:
    ///   - how: how it ended, for people: `signal 9 (SIGKILL)`.
    ///   - cause: the cause of its death.
    ///   - hadAnswered: whether it had answered a call since it was Ready.
    ///   - failure: why it never became Ready. Nil if it was Ready.
    case died(how: String, cause: DeathCause, hadAnswered: Bool, failure: ConstructorFailure?)
}

/// One run of a replica, from its start to its end.
///
/// The link, the backend, timers and the supervisor report events. The run handles one event after another.
final class ReplicaRun: ReplicaLinkObserver {
    private enum Event: Sendable {
        /// It is the replica's turn to start. Nil if it needs no turn.
        case begins(StartTurn?)
        case ready(ReplicaLink, constructorMicros: UInt64)
        case constructorFailed(ConstructorFailure)
        case linkEnded(LinkEnd)
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
    private let backend: any ReplicaBackend
    /// The process ID of the watcher. 0 while there is none.
    private let pid = Atomic<Int32>(0)
    /// Whether the watcher has presented its token.
    private let isLinkKnown = Atomic<Bool>(false)
    /// Settled when the replica is told to stop, so that it does not start any more.
    private let stopRequested = Promise<Void>()
    /// Whether the replica was killed because its handler overran the call limit.
    private let isOverrunKilled = Lock(false)

    /// - Parameters:
    ///   - backend: carries the watcher.
    ///   - onTurn: called when the replica begins to wait for its turn to start, and when that wait ends.
    ///   - onStart: called when the process runs.
    ///   - onReady: called when the handler is constructed, before any other event is handled.
    ///   - onStuck: called when the handler overran its call limit and the replica was not told to stop. The replica
    ///     gets no more calls, and the run ends as if it had been told to stop.
    init(
        plan: FunctionPlan, number: Int, backend: any ReplicaBackend, context: SupervisionContext, log: FunctionLog,
        route: FunctionRoute,
        onTurn: @escaping @Sendable (_ waits: Bool) -> Void,
        onStart: @escaping @Sendable (pid_t) -> Void,
        onReady: @escaping @Sendable (ReplicaSlots, _ constructorMicros: UInt64) -> Void,
        onStuck: @escaping @Sendable () -> Void
    ) {
        self.plan = plan
        self.number = number
        self.backend = backend
        self.context = context
        self.log = log
        self.route = route
        self.onTurn = onTurn
        self.onStart = onStart
        self.onReady = onReady
        self.onStuck = onStuck
        settings = WatcherSettings(plan: plan).json
        (events, feed) = AsyncStream.makeStream(of: Event.self)
    }

    /// Ends the run in good order: the replica finishes the calls that it has.
    ///
    /// - Parameter limit: how long that may take. With nil the calls go on until their own deadlines.
    func stop(within limit: Duration?) {
        feed.yield(.stop(within: limit))
    }

    // MARK: ReplicaLinkObserver

    func linkIsKnown(_ link: ReplicaLink) {
        isLinkKnown.store(true, ordering: .relaxed)
        backend.linkIsKnown(link)
    }

    func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64) {
        feed.yield(.ready(link, constructorMicros: constructorMicros))
    }

    func linkFailed(_ failed: Failed, traceback: String) {
        feed.yield(.constructorFailed(ConstructorFailure(summary: failed.summary, traceback: traceback)))
    }

    func linkEnded(_ link: ReplicaLink, _ end: LinkEnd) {
        feed.yield(.linkEnded(end))
    }

    // MARK: The run

    func run() async -> ReplicaEnd {
        let token = backend.token
        context.links.expect(token, for: self)
        defer { context.links.forget(token, for: self) }
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                feed.yield(.exited(await runBackend()))
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

    /// The state of the run.
    private struct Life {
        /// The replica's slots and its link, once it is Ready.
        var served: (slots: ReplicaSlots, link: ReplicaLink)?
        var isStopping = false
        /// Why the gateway killed the replica, if it did.
        var verdict: String?
        var failure: ConstructorFailure?
        /// The turn to start. It ends when the replica is Ready.
        var turn: StartTurn?
        /// Whether everything is read that the watcher sent before it ended.
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
            let slots = ReplicaSlots(channel: link, settings: plan.route) { [self] in overran($0) }
            link.serve(slots, of: route)
            life.served = (slots, link)
            onReady(slots, constructorMicros)
        case .constructorFailed(let failure):
            // A watcher that the gateway killed may report an effect of the kill.
            if life.verdict == nil { life.failure = failure }
        case .startTimedOut:
            guard life.served == nil, !life.isStopping, !life.isCaughtUp else { return nil }
            let failure = backend.tooSlow(plan.startTimeout)
            kill(&life, failure.summary)
            life.failure = failure
        case .tooLarge(let used, let limit):
            kill(&life, "its processes held \(used) bytes of memory, limits.memory is \(limit)")
        case .linkEnded(let end):
            guard !life.isCaughtUp else { return nil }
            if !life.isStopping, case .protocolError = end {
                kill(&life, "\(end)")
            } else {
                backend.linkEnded(end, isStopping: life.isStopping)
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
            if let link = life.served?.link { backend.drain(link) }
            addTimer(context.limits.stop, .stopTimedOut, to: &group)
        case .stopTimedOut:
            backend.kill()
        case .exited(let exit):
            if life.served == nil, !life.isCaughtUp {
                // The last frames of the watcher are handled before its end.
                life.isCaughtUp = true
                await context.links.readAll(of: self)
                feed.yield(event)
                return nil
            }
            return await end(exit, life)
        }
        return nil
    }

    /// Lets the replica finish the calls that it has, and gives it no new ones.
    private func retire(_ life: inout Life) {
        life.isStopping = true
        stopRequested.settle(())
        if let slots = life.served?.slots {
            route.retire(slots) { [feed] in feed.yield(.idle) }
        } else {
            // It has no calls: it is still being constructed.
            backend.kill()
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
        backend.kill()
    }

    private func end(_ exit: ReplicaExit, _ life: Life) async -> ReplicaEnd {
        let stuck = isOverrunKilled.withLock { $0 ? Self.overrun(plan.callTimeout) : nil }
        let how = life.verdict ?? stuck ?? life.failure?.summary ?? "\(exit)"
        if let (slots, link) = life.served {
            // Replies that the watcher wrote before it ended still count.
            await context.links.finish(link, how: how)
            let hadAnswered = slots.hasAnswered
            if life.isStopping { return .stopped }
            note("died: \(how)")
            let cause = life.verdict == nil ? life.failure?.cause ?? exit.cause : .handler
            return .died(how: how, cause: cause, hadAnswered: hadAnswered, failure: nil)
        }
        if life.isStopping { return .stopped }
        var failure = life.failure ?? beforeReady(exit, verdict: life.verdict ?? stuck)
        failure.lastLines = LastLines.of(backend.lastLines, besides: failure.traceback)
        note("not started: \(failure.summary)")
        return .died(how: failure.summary, cause: failure.cause, hadAnswered: false, failure: failure)
    }

    /// Why the replica never became Ready, if its watcher did not say.
    private func beforeReady(_ exit: ReplicaExit, verdict: String?) -> ConstructorFailure {
        if let verdict { return ConstructorFailure(summary: verdict, traceback: "") }
        guard exit != .unavailable || isLinkKnown.load(ordering: .relaxed) else {
            return ConstructorFailure(
                summary:
                    "its watcher could not run or could not reach the gateway at \(context.links.path) (exit status 69); "
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

    private func runBackend() async -> ReplicaExit {
        do throws(ConstructorFailure) {
            try await backend.prepare(onTurn: onTurn)
            var turn: StartTurn?
            if backend.takesTurn {
                turn = await context.starts.turn(
                    isUrgent: { [route] in route.load.waiting > 0 }, until: stopRequested, onWait: { onTurn(true) })
                onTurn(false)
                guard turn != nil else { return .unknown("it was stopped") }
            }
            feed.yield(.begins(turn))
            context.links.repairSockets()
            return try await backend.run { [self] pid in
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
            guard let used = backend.memory(), used > limit else { continue }
            feed.yield(.tooLarge(used: used, limit: limit))
            return
        }
    }

    /// Called on the sweeper's thread when the handler has overrun its call limit.
    private func overran(_ report: ReplicaOverrun) {
        let (isNew, mustEnd) = isOverrunKilled.withLock { isKilled in
            guard !isKilled else { return (false, false) }
            isKilled = report.mustEnd(grace: context.limits.overrunGrace)
            return (report.isNew, isKilled)
        }
        if isNew {
            note(
                "is at a call for more than \(plan.callTimeout.inSeconds) s (timeout.call) and gets no more calls; "
                    + "the stacks of its threads follow")
            backend.printStacks()
            feed.yield(.stuck)
        }
        if mustEnd {
            note("killed: \(Self.overrun(plan.callTimeout))")
            backend.killStuck()
        }
    }
}
