internal import FunctionConfig
internal import GRPC
internal import Glibc
internal import Locks
internal import Logging
internal import WatcherLink

/// One body of a replica, from its start to its end.
///
/// Its link, its body, its timers and its supervisor all tell it what happens; it acts on one event after another.
final class ReplicaRun: ReplicaLinkObserver {
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

    let settings: [UInt8]
    private let plan: FunctionPlan
    private let number: Int
    private let context: SupervisionContext
    private let log: FunctionLog
    private let route: FunctionRoute
    private let onReady: @Sendable (ReplicaSlots, _ constructorMicros: UInt64) -> Void
    private let onStart: @Sendable (pid_t) -> Void
    private let onStuck: @Sendable (_ hadAnswered: Bool) -> Void
    private let events: AsyncStream<Event>
    private let feed: AsyncStream<Event>.Continuation
    private let body: any ReplicaBody
    /// Whether it was killed because a call went on beyond its deadline.
    private let isOverrunKilled = Lock(false)

    /// - Parameters:
    ///   - devices: those that it may use; empty leaves it to the gateway's own environment.
    ///   - seat: in the service that its task is of, where it is one of a Swarm.
    ///   - onStart: the process runs.
    ///   - onReady: the handler is constructed; called before any other event is looked at.
    ///   - onStuck: a call goes on well beyond its deadline, and the replica was not told to stop: it gets no more calls, and
    ///     the run comes to its end as if it had been told to stop.
    init(
        plan: FunctionPlan, number: Int, devices: [GPUDevice], seat: SwarmSeat?, context: SupervisionContext,
        log: FunctionLog, route: FunctionRoute,
        onStart: @escaping @Sendable (pid_t) -> Void,
        onReady: @escaping @Sendable (ReplicaSlots, _ constructorMicros: UInt64) -> Void,
        onStuck: @escaping @Sendable (_ hadAnswered: Bool) -> Void
    ) {
        self.plan = plan
        self.number = number
        self.context = context
        self.log = log
        self.route = route
        self.onStart = onStart
        self.onReady = onReady
        self.onStuck = onStuck
        settings = plan.settings
        body =
            switch (plan.source, seat) {
            case (.process(let source), _):
                ProcessBody(
                    plan: plan, source: source, number: number, devices: devices, context: context, log: log)
            case (.service, let seat?):
                SwarmBody(seat: seat)
            case (.image(let source), _), (.service(let source), nil):
                ContainerBody(
                    plan: plan, source: source, number: number, devices: devices, host: context.containers,
                    logs: context.logs, log: log)
            }
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
            if !plan.isShared { addTimer(plan.startTimeout, .startTimedOut, to: &group) }
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
        /// Whether all is read that it said before it ended.
        var isCaughtUp = false
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
            guard life.slots == nil, !life.isStopping, !life.isCaughtUp else { return nil }
            kill(&life, body.tooSlow(plan.startTimeout))
            life.failure = ConstructorFailure(summary: life.verdict ?? "", traceback: "")
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
        case .stuck(let hadAnswered):
            guard !life.isStopping else { return nil }
            retire(&life)
            onStuck(hadAnswered)
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
        let stuck = isOverrunKilled.withLock { $0 ? "its handler went on beyond the deadline of its call" : nil }
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
                summary: life.verdict ?? stuck ?? exit.beforeReady, traceback: "")
        note("not started: \(failure.summary)")
        return .died(how: failure.summary, hadAnswered: false, failure: failure)
    }

    private func note(_ text: String) {
        log.append(text: "dcf: replica \(number) \(text)", replica: number, stream: .gateway)
        context.logger.warning("\(plan.name): replica \(number) \(text)")
    }

    // MARK: The watcher

    private func runBody() async -> ReplicaExit {
        do throws(ConstructorFailure) {
            return try await body.run(onStart: onStart)
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

    /// On the sweeper's thread: the replica has a call well beyond the call's deadline.
    private func overran(_ report: ReplicaOverrun) {
        let (isNew, mustEnd) = isOverrunKilled.withLock { isKilled in
            guard !isKilled else { return (false, false) }
            isKilled = report.mustEnd(grace: context.limits.overrunGrace)
            return (report.isNew, isKilled)
        }
        if isNew {
            note("has a call beyond its deadline and gets no more; where its threads are follows")
            body.printStacks()
            feed.yield(.stuck(hadAnswered: report.hadAnswered))
        }
        if mustEnd {
            note("killed: its handler went on beyond the deadline of its call")
            body.killStuck()
        }
    }
}
