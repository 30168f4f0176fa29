import CLinux
import Glibc

/// A thread that does what the interpreter's main thread cannot while it is inside the handler; it needs no GIL.
///
/// It ends the watcher's whole process group when the gateway is gone: a handler that keeps the GIL for ever, or closes
/// every descriptor (the thread has a table of its own), cannot keep the process alive. This is the process's tie to
/// the gateway from the handshake on; the kernel's parent-death signal, which comes when the *thread* that started
/// this process ends and spares the handler's own children, is only for the time before.
///
/// And it writes finished answers that wait behind a call that lasts.
enum LinkGuard {
    private static let hangUp: Int16 = 0x2000  // POLLRDHUP, hidden without _GNU_SOURCE
    /// Beyond the descriptors that can be open before the handler is imported.
    private static let descriptorsMax: Int32 = 1_024
    private static let stackBytes = 64 << 10
    /// How often it looks at the answers while calls stream in, and how old they must be for it to act.
    private static let tickMillis: Int32 = 1
    /// Looks in vain before it sleeps again.
    private static let idleTicksMax = 20

    nonisolated(unsafe) private static var link: Int32 = -1
    nonisolated(unsafe) private static var parent: Int32 = -1
    nonisolated(unsafe) private static var wakeUp: Int32 = -1
    nonisolated(unsafe) private static var isPrepared = sem_t()
    /// Set before the first wake, never changed after.
    nonisolated(unsafe) private static var output: OutputBuffer?

    /// - Parameters:
    ///   - link: the connected socket.
    ///   - parentPid: the gateway.
    static func start(link: Int32, parentPid: Int32) throws(WatcherError) {
        let process = dcf_pidfd_open(parentPid)
        guard getppid() == parentPid else { throw .unreachable("the gateway has ended") }
        self.link = link
        parent = process >= 0 ? LinkSocket.moveUp(process) : -1
        wakeUp = LinkSocket.moveUp(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
        pthread_atfork(nil, nil) {
            // Whatever a forked child returns to, it cannot speak on the link.
            WatcherState.isForkedChild = true
            close(WatcherState.descriptor)
            WatcherState.descriptor = -1
        }
        guard startThread() else { throw .unreachable("no thread could be started") }
        // Without a descriptor for the gateway's process its death signal stays the second tie.
        if parent >= 0 { _ = dcf_prctl_pdeathsig(0) }
    }

    /// Has it look after a buffer in which something waits, for as long as calls stream in.
    static func wake(for buffer: OutputBuffer) {
        output = buffer
        eventfd_write(wakeUp, 1)
    }

    /// Ends this process and all that the handler started.
    static func endGroup() -> Never {
        kill(getpgrp() == getpid() ? 0 : getpid(), SIGKILL)
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

    /// A table of descriptors for this thread alone, with nothing in it but its own three, so that nothing of the
    /// handler's stays open here. Where a container forbids that the handler's table must do.
    private static func keepOwnDescriptors() {
        guard dcf_unshare_files() == 0 else { return }
        for number in 0..<descriptorsMax where number != link && number != parent && number != wakeUp {
            close(number)
        }
    }

    private static func watch() {
        keepOwnDescriptors()
        sem_post(&isPrepared)
        var entries = (
            pollfd(fd: link, events: hangUp, revents: 0), pollfd(fd: parent, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0)
        )
        var idleTicks = idleTicksMax
        while true {
            let isAwake = idleTicks < idleTicksMax
            let count = withUnsafeMutableBytes(of: &entries) { raw in
                poll(raw.baseAddress?.assumingMemoryBound(to: pollfd.self), 3, isAwake ? tickMillis : -1)
            }
            if count > 0 {
                let isDraining = dcf_atomic_load(&WatcherState.isDraining) != 0
                if entries.1.revents != 0 || (entries.0.revents != 0 && !isDraining) { endGroup() }
                // A gateway that drains closes the link when it has every answer; what is left is atexit.
                if entries.0.revents != 0 { entries.0.fd = -1 }
                if entries.2.revents != 0 {
                    var value: eventfd_t = 0
                    eventfd_read(wakeUp, &value)
                    idleTicks = 0
                }
            } else if isAwake, let output {
                idleTicks = tick(output) ? 0 : idleTicks + 1
                if idleTicks == idleTicksMax && !output.letGuardSleep() { idleTicks = 0 }
            }
        }
    }

    /// - Returns: whether there was anything to look after.
    private static func tick(_ output: OutputBuffer) -> Bool {
        let overdue = MonotonicClock.nowNanos() - Int64(tickMillis) * 1_000_000
        return output.flushOverdue(before: overdue, to: LinkSocket(descriptor: link))
    }
}
