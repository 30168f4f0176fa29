import CLinux
import Glibc

/// A thread that ends the watcher's whole process group when the gateway is gone.
///
/// It needs neither the GIL nor the link's descriptor number: `poll` holds on to the open sockets, so a handler that holds
/// the GIL for ever, or closes every descriptor, cannot keep the process alive. It is the process's tie to the gateway
/// from the handshake on; the kernel's parent-death signal, which comes when the *thread* that started this process
/// ends and spares the handler's own children, is only for the time before.
enum LifeGuard {
    private static let hangUp: Int16 = 0x2000  // POLLRDHUP, hidden without _GNU_SOURCE
    private static let stackBytes = 64 << 10

    nonisolated(unsafe) private static var link: Int32 = -1
    nonisolated(unsafe) private static var parent: Int32 = -1

    /// - Parameters:
    ///   - link: the connected socket.
    ///   - parentPid: the gateway.
    static func start(link: Int32, parentPid: Int32) throws(WatcherError) {
        let process = dcf_pidfd_open(parentPid)
        guard getppid() == parentPid else { throw .unreachable("the gateway has ended") }
        self.link = link
        parent = process >= 0 ? LinkSocket.moveUp(process) : -1
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

    private static func startThread() -> Bool {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, stackBytes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // The handler's signals are for its own threads.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { _ in
                _ = dcf_prctl_name("dcf-guard")
                LifeGuard.watch()
                return nil
            }, nil)
        pthread_sigmask(SIG_SETMASK, &before, nil)
        pthread_attr_destroy(&attributes)
        return code == 0
    }

    private static func watch() {
        var entries = (
            pollfd(fd: link, events: hangUp, revents: 0), pollfd(fd: parent, events: Int16(POLLIN), revents: 0)
        )
        while true {
            let count = withUnsafeMutableBytes(of: &entries) { raw in
                poll(raw.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, -1)
            }
            if count <= 0 { continue }
            let isDraining = dcf_atomic_load(&WatcherState.isDraining) != 0
            guard isDraining, entries.1.revents == 0 else { endGroup() }
            // The gateway closes the link when it has every answer; what is left is atexit.
            entries.0.fd = -1
        }
    }

    /// Ends this process and all that the handler started.
    static func endGroup() -> Never {
        kill(getpgrp() == getpid() ? 0 : getpid(), SIGKILL)
        _exit(137)
    }
}
