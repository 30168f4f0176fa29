import CLinux
import Glibc
import ProcessTree

/// A thread that does what the interpreter's main thread cannot while it is inside the handler; it needs no GIL.
///
/// It ends the watcher, and its process group where nobody else would, when the gateway is gone: a handler that keeps
/// the GIL for ever, or closes every descriptor (the thread has a table of its own), cannot keep the process alive. This
/// is the process's tie to the gateway from the handshake on; the kernel's parent-death signal, which comes when the *thread* that started
/// this process ends and spares the handler's own children, is only for the time before.
///
/// And it does what the loop cannot while a call lasts: it writes finished answers, and reads the link, so that
/// cancels, recalls and credit are seen while the handler works. For an event loop it reads all the time.
enum LinkGuard {
    private static let hangUp: Int16 = 0x2000  // POLLRDHUP, hidden without _GNU_SOURCE
    /// Beyond the descriptors that can be open before the handler is imported.
    private static let descriptorsMax: Int32 = 1_024
    private static let stackBytes = 64 << 10
    /// How often it looks at the answers while calls stream in, and how old they must be for it to act.
    private static let tickMillis: Int32 = 1
    /// Looks in vain before it sleeps again.
    private static let idleTicksMax = 20
    /// How often it looks at calls that have not begun while another lasts.
    private static let waitingTickMillis: Int32 = 20
    /// How often an event loop that works on several calls is asked whether it still turns.
    private static let heartbeatMillis: Int32 = 250
    /// How often it looks whether there has been no gateway for too long.
    private static let lostTickMillis: Int32 = 500
    /// What a replica that has nothing to do may take for its exit handlers once its gateway is gone, and how often is looked.
    private static let lastNanos: Int64 = 500_000_000
    private static let lastTickMillis: Int32 = 50
    /// An event loop that has been told of something, and did not look for so long, is blocked.
    private static let blockedNanos: Int64 = 500_000_000
    /// How often that is said at most.
    private static let complaintNanos: Int64 = 10_000_000_000
    private static let complaint: StaticString = """
        dcf-watcher: the event loop of the async handler has been blocked for more than 0.5 s while a call waited: \
        something in it does not await. Have blocking work done by await asyncio.to_thread(function, ...)

        """

    nonisolated(unsafe) private static var link: Int32 = -1
    /// Where the main thread hands over a new link, as this thread's table of descriptors is its own: (its end, this one's).
    nonisolated(unsafe) private static var handover: (Int32, Int32) = (-1, -1)
    nonisolated(unsafe) private static var isHandedOver = sem_t()
    nonisolated(unsafe) private static var gateway: Int32 = -1
    nonisolated(unsafe) private static var wakeUp: Int32 = -1
    nonisolated(unsafe) private static var isPrepared = sem_t()
    /// A copy of standard error.
    nonisolated(unsafe) private static var log: Int32 = -1
    /// Where the event loop, if there is one, hears of what came.
    nonisolated(unsafe) private(set) static var loopEvent: Int32 = -1
    /// Set before the first wake after a handshake; taken away by this thread when the link is lost.
    nonisolated(unsafe) private static var service: Service?
    /// Whether the gateway has not said Welcome yet: the main thread waits for that, sees the link's end itself, and says why.
    nonisolated(unsafe) static var isGreeting = false
    /// Since when there is no gateway; 0 while there is one.
    nonisolated(unsafe) private static var lostNanos: Int64 = 0
    /// When the process ends at the latest; 0 while it has no reason to.
    nonisolated(unsafe) private static var endNanos: Int64 = 0
    nonisolated(unsafe) private static var complainedNanos: Int64 = 0

    /// - Parameters:
    ///   - link: the connected socket.
    ///   - gatewayPid: the gateway, which is not the parent of a process that a template forked.
    static func start(link: Int32, gatewayPid: Int32) throws(WatcherError) {
        // Should the number be another's by now, then the link, which was there before, has ended.
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
            // Whatever a forked child returns to, it cannot speak on the link.
            WatcherState.isForkedChild = true
            close(WatcherState.descriptor)
            WatcherState.descriptor = -1
        }
        guard startThread() else { throw .unreachable("no thread could be started") }
        // Without a descriptor for the gateway's process its death signal stays the second tie.
        if gateway >= 0 { _ = dcf_prctl_pdeathsig(0) }
    }

    /// Has it look after what is served from now on.
    static func attend(_ served: Service) {
        service = served
        wake()
    }

    /// Has it watch another link from now on. On the main thread, which waits until it does.
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

    /// Ends this process and all that the handler started. Of one that is marked the rest is looked for by others, who give those
    /// time that end by themselves.
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
        // The handler's signals are for its own threads.
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
        // Before anything of the handler's runs, the thread has what it needs.
        if code == 0 { while sem_wait(&isPrepared) != 0 {} }
        return code == 0
    }

    /// A table of descriptors for this thread alone, with nothing in it but its own, so that nothing of the
    /// handler's stays open here. Where a container forbids that the handler's table must do.
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
            let isAwake = service != nil && idleTicks < idleTicksMax
            let (isReader, sleepMillis) = service.map { outlook($0) } ?? (false, -1)
            entries.0.events = isReader ? hangUp | Int16(POLLIN) : hangUp
            let timeout =
                endNanos != 0 ? lastTickMillis : isAwake ? tickMillis : lostNanos != 0 ? lostTickMillis : sleepMillis
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
                if entries.0.revents & Int16(POLLIN) != 0, let service { read(service) }
                // A gateway that drains closes the link when it has every answer; what is left is atexit.
                if isOver { entries.0.fd = -1 }
                if entries.3.revents != 0 {
                    // A handler that closes every descriptor ends this one way too: no link comes any more.
                    if let link = takeOver() { entries.0.fd = link } else { entries.3.fd = -1 }
                }
                if entries.2.revents != 0 {
                    var value: eventfd_t = 0
                    eventfd_read(wakeUp, &value)
                    service?.activity.guardIsAwake()
                    idleTicks = 0
                }
            }
            if endNanos != 0, MonotonicClock.nowNanos() > endNanos { endGroup() }
            if lostNanos != 0, MonotonicClock.nowNanos() - lostNanos > Int64(WatcherState.returnSeconds) * 1_000_000_000
            {
                endGroup()
            }
            guard let service else { continue }
            let now = MonotonicClock.nowNanos()
            if count > 0 && now - tickedNanos < Int64(tickMillis) * 1_000_000 { continue }
            tickedNanos = now
            if isAwake {
                idleTicks = tick(service) ? 0 : idleTicks + 1
                if idleTicks == idleTicksMax {
                    service.activity.guardSleeps()
                    // What came just before it was told that this thread sleeps.
                    if tick(service) {
                        service.activity.guardIsAwake()
                        idleTicks = 0
                    }
                }
            }
            lookAtWaiting(service)
        }
    }

    /// The link has ended: so does the process, unless it may wait for another gateway.
    private static func lose() {
        guard WatcherState.returnSeconds > 0 else { return endSoon() }
        HealthFile.remove()
        lostNanos = MonotonicClock.nowNanos()
        if let service { service.inbox.withLock { service.inbox.lose() } }
        service = nil
    }

    /// Nobody is there to work for. A replica that works on nothing has a moment for its end; any other ends now.
    private static func endSoon() {
        guard endNanos == 0 else { return }
        guard let service, isIdle(service) else { endGroup() }
        HealthFile.remove()
        endNanos = MonotonicClock.nowNanos() + lastNanos
        // Wakes whoever waits for the link.
        shutdown(link, Int32(SHUT_RDWR))
        service.inbox.withLock { service.inbox.lose() }
    }

    private static func isIdle(_ service: Service) -> Bool {
        let state = service.inbox.state
        let isAtWork = service.inbox.withLock { state.pointee.calls.count > 0 || state.pointee.running.count > 0 }
        return !isAtWork && service.activity.busySinceNanos == 0
    }

    /// The new link, under the number that it has for the main thread; nil when none will come.
    private static func takeOver() -> Int32? {
        var number: Int32 = -1
        let received = dcf_receive_descriptor(handover.1, &number, MemoryLayout<Int32>.size)
        guard received >= 0 else { return nil }
        guard dcf_dup3(received, number, O_CLOEXEC) >= 0 else { endGroup() }
        if received != number { close(received) }
        link = number
        lostNanos = 0
        service = nil
        sem_post(&isHandedOver)
        return number
    }

    /// Whether the link must be read here, as nobody else does and a call lasts, or an event loop is served; and how long
    /// this thread may sleep when nothing else wakes it.
    private static func outlook(_ service: Service) -> (isReader: Bool, sleepMillis: Int32) {
        let since = service.activity.busySinceNanos
        let lasts = since != 0 && MonotonicClock.nowNanos() - since > Int64(tickMillis) * 1_000_000
        guard service.inbox.tryLock() else { return (false, tickMillis) }
        defer { service.inbox.unlock() }
        let state = service.inbox.state
        // The main thread reads for them, unless it waits for the GIL.
        let runsThreads = state.pointee.hasThreads && state.pointee.running.count > 0
        let isFree = !state.pointee.isReading && state.pointee.failure == nil
        return (
            isFree && (state.pointee.guardReads || lasts || runsThreads),
            state.pointee.calls.count > 0 || runsThreads
                ? waitingTickMillis : state.pointee.guardReads && state.pointee.running.count > 1 ? heartbeatMillis : -1
        )
    }

    private static func read(_ service: Service) {
        guard service.inbox.tryLock() else { return }
        let isFinished = service.inbox.state.pointee.isReading || !service.inbox.readNow()
        service.inbox.unlock()
        if !isFinished { service.output.sendControl(to: service.socket) }
    }

    /// - Returns: whether there was anything to look after.
    private static func tick(_ service: Service) -> Bool {
        let overdue = MonotonicClock.nowNanos() - Int64(tickMillis) * 1_000_000
        let isWaiting = service.output.flushOverdue(before: overdue, to: service.socket)
        let since = service.activity.busySinceNanos
        // A call that lasts is looked after by reading.
        return isWaiting || since > overdue
    }

    /// Calls that have not begun while another lasts: those whose time is over never will.
    private static func lookAtWaiting(_ service: Service) {
        guard service.inbox.tryLock() else { return }
        let now = MonotonicClock.nowNanos()
        let state = service.inbox.state
        if state.pointee.calls.count > 0 { service.inbox.refuseExpired(at: now) }
        if state.pointee.guardReads { lookAtLoop(service.inbox, now) }
        service.inbox.unlock()
        service.output.sendControl(to: service.socket)
    }

    /// Says so when the event loop does not turn though a call beside the one that it is in could go on.
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
