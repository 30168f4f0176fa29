internal import CLinux
internal import GRPC
internal import Glibc
internal import Logging

/// The loop of the links' thread: accepts watchers, reads their frames, and writes on when a full socket has room.
final class LinkLoop {
    /// How long a watcher may take to say who it is.
    private static let helloTimeout = Duration.seconds(10)

    /// The system doubles it, for its own bookkeeping.
    private static let sendBufferBytes: Int32 = 2 << 20

    private let listeners: [Int32]
    private let wakeup: Int32
    private let maxBodyBytes: Int
    private let strangersMax: Int
    private let invoker: Invoker
    private let logger: Logger
    private let redeem: (String) -> (any ReplicaLinkObserver)?
    private let takeCommands: () -> [@Sendable (LinkLoop) -> Void]
    private let onTurn: () -> Void
    private let poll: Int32
    private var links: [Int32: ReplicaLink] = [:]
    /// Those that have not said who they are, and until when they may.
    private var strangers: [Int32: MonotonicTime] = [:]
    private var isStopping = false

    init(
        listeners: [Int32], wakeup: Int32, maxBodyBytes: Int, strangersMax: Int, invoker: Invoker, logger: Logger,
        redeem: @escaping (String) -> (any ReplicaLinkObserver)?,
        commands: @escaping () -> [@Sendable (LinkLoop) -> Void], onTurn: @escaping () -> Void
    ) {
        self.onTurn = onTurn
        self.listeners = listeners
        self.wakeup = wakeup
        self.maxBodyBytes = maxBodyBytes
        self.strangersMax = strangersMax
        self.invoker = invoker
        self.logger = logger
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
                for index in 0..<Int(max(count, 0)) {
                    handle(events[index])
                }
                if !strangers.isEmpty { expireStrangers() }
                onTurn()
            }
        }
        for link in Array(links.values) { close(link, reason: "the gateway stops") }
    }

    func stop() {
        isStopping = true
    }

    private func timeout() -> Int32 {
        guard let first = strangers.values.min() else { return -1 }
        return Int32(clamping: max(first.nanoseconds(since: .now), 0) / 1_000_000 + 1)
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
            for command in takeCommands() { command(self) }
        } else if listeners.contains(event.data.fd) {
            accept(event.data.fd)
        }
    }

    private func read(_ link: ReplicaLink) {
        if let reason = link.readable() {
            close(link, reason: reason)
        } else if link.isKnown {
            strangers[link.descriptor] = nil
        }
    }

    /// Reads the links of a replica, and those that may be its: connections that nobody has looked at.
    func readAll(of observer: any ReplicaLinkObserver) {
        for listener in listeners { accept(listener) }
        for link in Array(links.values) where !link.isKnown || link.observer === observer { read(link) }
    }

    private func accept(_ listener: Int32) {
        while true {
            let descriptor = dcf_accept4(
                listener, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard descriptor >= 0 else {
                if errno == EINTR || errno == ECONNABORTED { continue }
                if errno != EAGAIN { usleep(10_000) }
                return
            }
            guard strangers.count < strangersMax else {
                Glibc.close(descriptor)
                continue
            }
            Self.widen(descriptor)
            let poll = poll
            links[descriptor] = ReplicaLink(
                descriptor: descriptor, maxBodyBytes: maxBodyBytes, invoker: invoker,
                onBlocked: {
                    Self.control(poll, EPOLL_CTL_MOD, descriptor, EPOLLIN.rawValue | EPOLLOUT.rawValue)
                }, redeem: redeem)
            strangers[descriptor] = MonotonicTime.now.advanced(by: Self.helloTimeout)
            control(EPOLL_CTL_ADD, descriptor, EPOLLIN.rawValue)
        }
    }

    /// Lets a large input go in one write, if the system allows; each one that does not fit costs a round of waiting.
    private static func widen(_ descriptor: Int32) {
        var size = sendBufferBytes
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    private func expireStrangers() {
        let now = MonotonicTime.now
        for (descriptor, deadline) in strangers where deadline <= now {
            guard let link = links[descriptor] else { continue }
            close(link, reason: "it did not say who it is")
        }
    }

    func finish(_ link: ReplicaLink, reason: String) {
        guard links[link.descriptor] === link else { return }
        _ = link.readable()
        close(link, reason: reason)
    }

    private func close(_ link: ReplicaLink, reason: String) {
        control(EPOLL_CTL_DEL, link.descriptor, 0)
        links[link.descriptor] = nil
        strangers[link.descriptor] = nil
        link.shutdown()
        if !link.isKnown {
            logger.warning("a connection to the watchers' socket was closed: \(reason)")
        }
        link.ended(reason)
    }
}
