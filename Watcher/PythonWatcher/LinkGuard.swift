import CLinux
import Glibc
import ProcessTree

/// The guard: a thread that works while the interpreter's main thread is inside the handler. It needs no GIL.
///
/// It ends the watcher when the gateway is gone, and its process group where no other process would. So a handler
/// cannot keep the process alive, even if it keeps the GIL for ever or closes every descriptor: the thread has a
/// descriptor table of its own. The guard ties the process to the gateway from the handshake on. Before that the
/// kernel's parent-death signal does. That signal alone is not enough: it comes when the *thread* that started this
/// process ends, and does not reach the handler's children.
///
/// While a call lasts, the guard also writes finished answers and reads the link, so that cancels, recalls and credit
/// arrive while the handler works. For an event loop it always reads the link.
///
/// The `nonisolated(unsafe)` variables are set before the thread starts, used by one thread only, or handed over
/// through a semaphore or the wake-up descriptor. Only `isGreeting` is not: the guard may see its end late, and then
/// checks again.
enum LinkGuard {
    private static let hangUp: Int16 = 0x2000  // POLLRDHUP, hidden without _GNU_SOURCE
    /// More than the descriptors that can be open before the handler is imported.
    private static let descriptorsMax: Int32 = 1_024
    private static let stackBytes = 64 << 10
    /// The pause between two checks for waiting answers while calls stream in, and the age from which it writes them.
    private static let tickMillis: Int32 = 1
    /// After so many checks without a result the thread sleeps again.
    private static let idleTicksMax = 20
    /// The pause between two checks of the calls that have not begun, while another call lasts.
    private static let waitingTickMillis: Int32 = 20
    /// The pause between two checks that an event loop with several calls still runs.
    private static let heartbeatMillis: Int32 = 250
    /// The pause between two checks of how long there has been no gateway.
    private static let lostTickMillis: Int32 = 500
    /// How long an idle replica may take for its exit handlers once its gateway is gone.
    private static let lastNanos: Int64 = 500_000_000
    /// The pause between two checks of that time.
    private static let lastTickMillis: Int32 = 50
    /// An event loop that does not react to news for so long is blocked.
    private static let blockedNanos: Int64 = 500_000_000
    /// The shortest time between two log lines about a blocked event loop.
    private static let complaintNanos: Int64 = 10_000_000_000
    private static let complaint: StaticString = """
        dcf-watcher: the event loop of the async handler has been blocked for more than 0.5 s while a call waited: \
        something in it does not await. Have blocking work done by await asyncio.to_thread(function, ...)

        """

    nonisolated(unsafe) private static var link: Int32 = -1
    /// The socket pair through which the main thread hands over a new link, because this thread has a descriptor table
    /// of its own: (the main thread's end, this thread's end).
    nonisolated(unsafe) private static var handover: (Int32, Int32) = (-1, -1)
    nonisolated(unsafe) private static var isHandedOver = sem_t()
    nonisolated(unsafe) private static var gateway: Int32 = -1
    nonisolated(unsafe) private static var wakeUp: Int32 = -1
    nonisolated(unsafe) private static var isPrepared = sem_t()
    /// A copy of standard error.
    nonisolated(unsafe) private static var log: Int32 = -1
    /// The eventfd that wakes the event loop, if there is one.
    nonisolated(unsafe) private(set) static var loopEvent: Int32 = -1
    /// Set before the first wake after a handshake; cleared by this thread when the link is lost.
    nonisolated(unsafe) private static var serving: Serving?
    /// Whether the main thread waits for Welcome: then it notices the end of the link itself, and logs why.
    nonisolated(unsafe) static var isGreeting = false
    /// Since when there is no gateway, on MonotonicClock; 0 while there is one.
    nonisolated(unsafe) private static var withoutGatewaySinceNanos: Int64 = 0
    /// When the process ends at the latest, on MonotonicClock; 0 while it need not end.
    nonisolated(unsafe) private static var endNanos: Int64 = 0
    nonisolated(unsafe) private static var complainedNanos: Int64 = 0

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - link: the connected socket.
    ///   - gatewayPid: the gateway's process. It is not the parent of a process that a template forked.
    static func start(link: Int32, gatewayPid: Int32) throws(WatcherError) {
        // If another process has the number by now, the gateway has ended, and so has the link.
        let process = dcf_pidfd_open(gatewayPid)
        guard process >= 0 || errno != ESRCH else { throw .unreachable("the gateway has ended") }
        self.link = link
        gateway = process >= 0 ? LinkSocket.moveUp(process) : -1
        wakeUp = LinkSocket.moveUp(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
        loopEvent = LinkSocket.moveUp(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
        log = LinkSocket.copyUp(2)
        var ends: [Int32] = [-1, -1]
        if socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 {
            handover = (LinkSocket.moveUp(ends[0]), LinkSocket.moveUp(ends[1]))
        }
        sem_init(&isHandedOver, 0, 0)
        pthread_atfork(nil, nil) {
            // A forked child can send nothing on the link, whatever code it returns to.
            WatcherState.isForkedChild = true
            close(WatcherState.descriptor)
            WatcherState.descriptor = -1
        }
        guard startThread() else { throw .unreachable("no thread could be started") }
        // Without a pidfd of the gateway, the parent-death signal stays on.
        if gateway >= 0 { _ = dcf_prctl_pdeathsig(0) }
    }

    /// Gives the guard the parts that it works with from now on.
    static func attend(_ served: Serving) {
        serving = served
        wake()
    }

    /// Makes the guard watch another link from now on. Called on the main thread; returns when the guard watches it.
    static func change(to link: Int32) throws(WatcherError) {
        var number = link
        guard dcf_send_descriptors(handover.0, &number, MemoryLayout<Int32>.size, &number, 1) > 0 else {
            throw .unreachable("the new link cannot be watched")
        }
        while sem_wait(&isHandedOver) != 0 {}
    }

    static func wake() {
        eventfd_write(wakeUp, 1)
    }

    /// Kills this process, and its process group. If the process has a mark, it kills itself only: the gateway or a
    /// sweeper finds its descendants, and gives them time to end by themselves.
    static func endGroup() -> Never {
        HealthFile.remove()
        kill(getpgrp() == getpid() && ProcessMark.of(0) == nil ? 0 : getpid(), SIGKILL)
        _exit(137)
    }

    private static func startThread() -> Bool {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, stackBytes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // Signals are for the handler's threads, so this thread blocks them all.
        sem_init(&isPrepared, 0, 0)
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { _ in
                _ = dcf_prctl_name("dcf-guard")
                LinkGuard.watch()
                return nil
            }, nil)
        pthread_sigmask(SIG_SETMASK, &before, nil)
        pthread_attr_destroy(&attributes)
        // The thread has its own descriptors before the handler's code runs.
        if code == 0 { while sem_wait(&isPrepared) != 0 {} }
        return code == 0
    }

    /// Gives this thread a descriptor table with only its own descriptors, so that it keeps none of the handler's open.
    /// If a container forbids that, the thread shares the process's table.
    private static func keepOwnDescriptors() {
        guard dcf_unshare_files() == 0 else { return }
        let own = [link, gateway, wakeUp, loopEvent, log, handover.1]
        for number in 0..<descriptorsMax where !own.contains(number) { close(number) }
    }

    private static func watch() {
        keepOwnDescriptors()
        sem_post(&isPrepared)
        var entries = (
            pollfd(fd: link, events: hangUp, revents: 0), pollfd(fd: gateway, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
            pollfd(fd: handover.1, events: Int16(POLLIN), revents: 0)
        )
        var idleTicks = idleTicksMax
        var tickedNanos: Int64 = 0
        while true {
            let isAwake = serving != nil && idleTicks < idleTicksMax
            let (isReader, sleepMillis) = serving.map { outlook($0) } ?? (false, -1)
            entries.0.events = isReader ? hangUp | Int16(POLLIN) : hangUp
            let timeout =
                endNanos != 0
                ? lastTickMillis : isAwake ? tickMillis : withoutGatewaySinceNanos != 0 ? lostTickMillis : sleepMillis
            let count = withUnsafeMutableBytes(of: &entries) { raw in
                poll(raw.baseAddress?.assumingMemoryBound(to: pollfd.self), 4, timeout)
            }
            if count > 0 {
                let isDraining = dcf_atomic_load(&WatcherState.isDraining) != 0
                let isOver = entries.0.revents & ~Int16(POLLIN) != 0
                if entries.1.revents != 0 {
                    entries.1.fd = -1
                    endSoon()
                }
                if isOver && isGreeting {
                    usleep(1_000)
                    continue
                }
                if isOver && !isDraining { lose() }
                if entries.0.revents & Int16(POLLIN) != 0, let serving { read(serving) }
                // A gateway that drains closes the link when it has every answer. Then only the exit handlers are left
                // to run.
                if isOver { entries.0.fd = -1 }
                if entries.3.revents != 0 {
                    // A handler that closes every descriptor ends the socket pair too: then no new link can come.
                    if let link = takeOver() { entries.0.fd = link } else { entries.3.fd = -1 }
                }
                if entries.2.revents != 0 {
                    var value: eventfd_t = 0
                    eventfd_read(wakeUp, &value)
                    serving?.activity.guardIsAwake()
                    idleTicks = 0
                }
            }
            if endNanos != 0, MonotonicClock.nowNanos() > endNanos { endGroup() }
            if isWithoutGatewayForTooLong { endGroup() }
            guard let serving else { continue }
            let now = MonotonicClock.nowNanos()
            if count > 0 && now - tickedNanos < Int64(tickMillis) * 1_000_000 { continue }
            tickedNanos = now
            if isAwake {
                idleTicks = tick(serving) ? 0 : idleTicks + 1
                if idleTicks == idleTicksMax {
                    serving.activity.guardSleeps()
                    // An answer may have come just before the thread said that it sleeps.
                    if tick(serving) {
                        serving.activity.guardIsAwake()
                        idleTicks = 0
                    }
                }
            }
            lookAtWaiting(serving)
        }
    }

    private static var isWithoutGatewayForTooLong: Bool {
        guard withoutGatewaySinceNanos != 0 else { return false }
        let elapsed = MonotonicClock.nowNanos() - withoutGatewaySinceNanos
        return elapsed > Int64(WatcherState.returnSeconds) * 1_000_000_000
    }

    /// The link has ended: the process ends too, unless it may wait for another gateway.
    private static func lose() {
        guard WatcherState.returnSeconds > 0 else { return endSoon() }
        HealthFile.remove()
        withoutGatewaySinceNanos = MonotonicClock.nowNanos()
        if let serving { serving.inbox.withLock { serving.inbox.lose() } }
        serving = nil
    }

    /// Ends the process because the gateway is gone. An idle replica gets ``lastNanos`` for its exit handlers; any
    /// other is killed now.
    private static func endSoon() {
        guard endNanos == 0 else { return }
        guard let serving, isIdle(serving) else { endGroup() }
        HealthFile.remove()
        endNanos = MonotonicClock.nowNanos() + lastNanos
        // Wakes the threads that wait for the link.
        shutdown(link, Int32(SHUT_RDWR))
        serving.inbox.withLock { serving.inbox.lose() }
    }

    private static func isIdle(_ serving: Serving) -> Bool {
        let state = serving.inbox.state
        let isAtWork = serving.inbox.withLock { state.pointee.calls.count > 0 || state.pointee.running.count > 0 }
        return !isAtWork && serving.activity.busySinceNanos == 0
    }

    /// Receives the new link from the main thread, under the same descriptor number; nil when no link will come.
    private static func takeOver() -> Int32? {
        var number: Int32 = -1
        let received = dcf_receive_descriptor(handover.1, &number, MemoryLayout<Int32>.size)
        guard received >= 0 else { return nil }
        guard dcf_dup3(received, number, O_CLOEXEC) >= 0 else { endGroup() }
        if received != number { close(received) }
        link = number
        withoutGatewaySinceNanos = 0
        serving = nil
        sem_post(&isHandedOver)
        return number
    }

    /// Returns whether this thread must read the link: no other thread reads it, and a call lasts or an event loop is
    /// served. Also returns how long this thread may sleep.
    private static func outlook(_ serving: Serving) -> (isReader: Bool, sleepMillis: Int32) {
        let since = serving.activity.busySinceNanos
        let lasts = since != 0 && MonotonicClock.nowNanos() - since > Int64(tickMillis) * 1_000_000
        guard serving.inbox.tryLock() else { return (false, tickMillis) }
        defer { serving.inbox.unlock() }
        let state = serving.inbox.state
        // The main thread reads the link for the handler's threads, unless it is waiting for the GIL.
        let runsThreads = state.pointee.hasThreads && state.pointee.running.count > 0
        let isFree = !state.pointee.isReading && state.pointee.failure == nil
        return (
            isFree && (state.pointee.guardReads || lasts || runsThreads),
            state.pointee.calls.count > 0 || runsThreads
                ? waitingTickMillis : state.pointee.guardReads && state.pointee.running.count > 1 ? heartbeatMillis : -1
        )
    }

    private static func read(_ serving: Serving) {
        guard serving.inbox.tryLock() else { return }
        let isFinished = serving.inbox.state.pointee.isReading || !serving.inbox.readNow()
        serving.inbox.unlock()
        if !isFinished { serving.output.sendControl(to: serving.socket) }
    }

    /// Writes answers that have waited too long.
    ///
    /// - Returns: whether there was anything to do.
    private static func tick(_ serving: Serving) -> Bool {
        let overdue = MonotonicClock.nowNanos() - Int64(tickMillis) * 1_000_000
        let isWaiting = serving.output.flushOverdue(before: overdue, to: serving.socket)
        let since = serving.activity.busySinceNanos
        // For a call that lasts, `outlook` has the link read instead.
        return isWaiting || since > overdue
    }

    /// Refuses waiting calls with a deadline that has passed while another call lasts.
    private static func lookAtWaiting(_ serving: Serving) {
        guard serving.inbox.tryLock() else { return }
        let now = MonotonicClock.nowNanos()
        let state = serving.inbox.state
        if state.pointee.calls.count > 0 { serving.inbox.refuseExpired(at: now) }
        if state.pointee.guardReads { lookAtLoop(serving.inbox, now) }
        serving.inbox.unlock()
        serving.output.sendControl(to: serving.socket)
    }

    /// Logs that the event loop is blocked, if it does not react while another call could begin or go on.
    private static func lookAtLoop(_ inbox: LinkInbox, _ now: Int64) {
        let state = inbox.state
        let canBegin = state.pointee.calls.count > 0 && state.pointee.running.count < state.pointee.concurrency
        guard canBegin || state.pointee.running.count > 1 else { return }
        let sinceTold = now - state.pointee.loopToldNanos
        if !state.pointee.isLoopTold, sinceTold > Int64(heartbeatMillis) * 1_000_000 {
            inbox.announce()
        } else if state.pointee.isLoopTold, sinceTold > blockedNanos, now - complainedNanos > complaintNanos {
            complainedNanos = now
            Glibc.write(log, complaint.utf8Start, complaint.utf8CodeUnitCount)
        }
    }
}
