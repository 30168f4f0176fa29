internal import CLinux
internal import GRPC
internal import Glibc
internal import Locks
internal import Logging
internal import WatcherLink

/// The loop of the links' thread: accepts watchers, reads their frames, and writes on when a full socket has room.
final class LinkLoop {
    /// Connections that have not said who they are may be so many, on unix sockets and over TCP each.
    private static let strangersMax = 256
    /// Those that have, and wait for somebody.
    private static let waitingMax = 1_024
    /// Taken in one turn, so that a flood of them leaves time for the rest.
    private static let acceptedMax = 64
    /// How often it is said that a connection was nobody's.
    private static let complaintInterval = Duration.seconds(1)

    /// The system doubles it, for its own bookkeeping.
    private static let sendBufferBytes: Int32 = 2 << 20

    private var listeners: [Int32]
    /// The one of them that is reached from other machines; -1 without.
    private let remoteListener: Int32
    private let wakeup: Int32
    private let maxBodyBytes: Int
    private let invoker: Invoker
    private let logger: Logger
    private let heartbeat: Heartbeat
    private let redeem: (LinkClaim) -> LinkAdmission
    private let takeCommands: () -> [@Sendable (LinkLoop) -> Void]
    private let onTurn: () -> Void
    private let poll: Int32
    private var links: [Int32: ReplicaLink] = [:]
    private var nobodys = LinkWaitlist()
    /// Connections closed of which nothing was said, and from when on something may be.
    private var unsaid = 0
    private var maySpeak = MonotonicTime(nanoseconds: 0)
    private var isStopping = false

    init(
        listeners: [Int32], remoteListener: Int32, wakeup: Int32, maxBodyBytes: Int, invoker: Invoker, logger: Logger,
        heartbeat: Heartbeat, redeem: @escaping (LinkClaim) -> LinkAdmission,
        commands: @escaping () -> [@Sendable (LinkLoop) -> Void], onTurn: @escaping () -> Void
    ) {
        self.onTurn = onTurn
        self.listeners = listeners
        self.remoteListener = remoteListener
        self.wakeup = wakeup
        self.maxBodyBytes = maxBodyBytes
        self.invoker = invoker
        self.logger = logger
        self.heartbeat = heartbeat
        self.redeem = redeem
        takeCommands = commands
        poll = epoll_create1(Int32(EPOLL_CLOEXEC))
        for listener in listeners { control(EPOLL_CTL_ADD, listener, EPOLLIN.rawValue) }
        control(EPOLL_CTL_ADD, wakeup, EPOLLIN.rawValue)
    }

    deinit {
        Glibc.close(poll)
    }

    private func control(_ operation: Int32, _ descriptor: Int32, _ events: UInt32) {
        Self.control(poll, operation, descriptor, events)
    }

    private static func control(_ poll: Int32, _ operation: Int32, _ descriptor: Int32, _ events: UInt32) {
        var event = epoll_event()
        event.events = events
        event.data.fd = descriptor
        epoll_ctl(poll, operation, descriptor, &event)
    }

    func run() {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
            while !isStopping {
                let count = epoll_wait(poll, events.baseAddress, Int32(events.count), timeout())
                heartbeat.begin()
                for index in 0..<Int(max(count, 0)) {
                    handle(events[index])
                }
                if !nobodys.isEmpty { expire() }
                onTurn()
                heartbeat.end()
            }
        }
        for link in Array(links.values) { close(link, reason: "the gateway stops") }
    }

    func stop() {
        isStopping = true
    }

    /// Listens at another socket from now on; what waits at the old one is taken, and that is closed.
    func replace(listener old: Int32, with new: Int32) {
        accept(old)
        listeners.removeAll { $0 == old }
        control(EPOLL_CTL_DEL, old, 0)
        Glibc.close(old)
        listeners.append(new)
        control(EPOLL_CTL_ADD, new, EPOLLIN.rawValue)
    }

    private func timeout() -> Int32 {
        nobodys.isEmpty ? -1 : nobodys.timeout(at: .now)
    }

    private func handle(_ event: epoll_event) {
        if let link = links[event.data.fd] {
            if event.events & EPOLLOUT.rawValue != 0 {
                control(EPOLL_CTL_MOD, link.descriptor, EPOLLIN.rawValue)
                link.writable()
            }
            if event.events & ~EPOLLOUT.rawValue != 0 { read(link) }
        } else if event.data.fd == wakeup {
            var count: UInt64 = 0
            eventfd_read(wakeup, &count)
            let commands = takeCommands()
            assertNoLockIsHeld()
            for command in commands { command(self) }
        } else if listeners.contains(event.data.fd) {
            accept(event.data.fd)
        }
    }

    private func read(_ link: ReplicaLink) {
        if let reason = link.readable() {
            close(link, reason: reason)
        } else if !nobodys.isEmpty {
            place(link)
        }
    }

    /// Reads the links of a replica, and those that may be its: connections that nobody has looked at.
    func readAll(of observer: any ReplicaLinkObserver) {
        for listener in listeners { accept(listener) }
        for link in Array(links.values) where !link.isKnown || link.observer === observer { read(link) }
    }

    private func accept(_ listener: Int32) {
        let isRemote = listener == remoteListener
        for _ in 0..<Self.acceptedMax {
            let descriptor = dcf_accept4(
                listener, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard descriptor >= 0 else {
                if errno == EINTR || errno == ECONNABORTED { continue }
                if errno != EAGAIN { usleep(10_000) }
                return
            }
            guard makeRoom(isRemote: isRemote) else {
                Glibc.close(descriptor)
                continue
            }
            if isRemote { dcf_tcp_keep_honest(descriptor) } else { Self.widen(descriptor) }
            let poll = poll
            let link = ReplicaLink(
                descriptor: descriptor, isRemote: isRemote, maxBodyBytes: maxBodyBytes, invoker: invoker,
                onBlocked: {
                    Self.control(poll, EPOLL_CTL_MOD, descriptor, EPOLLIN.rawValue | EPOLLOUT.rawValue)
                }, redeem: redeem)
            links[descriptor] = link
            nobodys.set(descriptor, isRemote ? .remoteStranger : .stranger)
            control(EPOLL_CTL_ADD, descriptor, EPOLLIN.rawValue)
            link.begin()
        }
    }

    /// Lets a large input go in one write, if the system allows; each one that does not fit costs a round of waiting.
    private static func widen(_ descriptor: Int32) {
        var size = sendBufferBytes
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Whether one more may come. Over TCP the one that has been silent for longest goes for it: a watcher speaks within
    /// one round trip, so that a flood of silence does not keep it out.
    private func makeRoom(isRemote: Bool) -> Bool {
        let kind: LinkWaitlist.Kind = isRemote ? .remoteStranger : .stranger
        guard nobodys.count(kind) >= Self.strangersMax else { return true }
        guard isRemote, let first = nobodys.first(kind), let link = links[first] else { return false }
        close(link, reason: "too many connections have not said who they are")
        return true
    }

    /// Sees to it that a link that was nobody's has the time that it is due.
    private func place(_ link: ReplicaLink) {
        guard link.isKnown else { return }
        guard link.awaitedToken != nil else { return nobodys.remove(link.descriptor) }
        nobodys.set(link.descriptor, .waiting)
        if nobodys.count(.waiting) > Self.waitingMax { close(link, reason: "too many links wait for somebody") }
    }

    private func expire() {
        for descriptor in nobodys.expired(at: .now) {
            guard let link = links[descriptor] else { continue }
            let isStranger = link.awaitedToken == nil
            close(link, reason: isStranger ? "it did not say who it is" : "nobody expected it")
        }
    }

    private func complain(_ reason: String) {
        let now = MonotonicTime.now
        guard maySpeak <= now else {
            unsaid += 1
            return
        }
        let others = unsaid == 0 ? "" : " (and \(unsaid) others since the last such line)"
        logger.warning("a connection to the watchers' socket was closed: \(reason)\(others)")
        unsaid = 0
        maySpeak = now.advanced(by: Self.complaintInterval)
    }

    /// Gives the links that have proved `token` and wait to those who expect it, the first to the first.
    func offer(_ token: String) {
        for link in waiting(for: token) {
            guard case .observer(let observer, _) = redeem(.token(token)) else { return }
            nobodys.remove(link.descriptor)
            do throws(LinkError) {
                try link.admit(observer)
            } catch {
                close(link, reason: "\(ReplicaLink.protocolError): \(error)")
            }
        }
    }

    /// Ends the links that have proved `token` and wait.
    func expel(_ token: String) {
        for link in waiting(for: token) { close(link, reason: "its token is good no more") }
    }

    private func waiting(for token: String) -> [ReplicaLink] {
        nobodys.all(.waiting).compactMap { links[$0] }.filter { $0.awaitedToken == token }
    }

    func finish(_ link: ReplicaLink, reason: String) {
        guard links[link.descriptor] === link else { return }
        _ = link.readable()
        close(link, reason: reason)
    }

    private func close(_ link: ReplicaLink, reason: String) {
        control(EPOLL_CTL_DEL, link.descriptor, 0)
        links[link.descriptor] = nil
        nobodys.remove(link.descriptor)
        link.shutdown()
        if !link.isKnown || link.awaitedToken != nil { complain(reason) }
        link.ended(reason)
    }
}
