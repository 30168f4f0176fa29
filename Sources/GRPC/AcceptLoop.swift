internal import CLinux
internal import Glibc

/// The loop of an ``Acceptor``'s thread: one epoll set with the listener, the stop signal, and the connections that have
/// not sent their preface yet.
final class AcceptLoop {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// How long the listener rests when the system has no descriptor left.
    private static let exhaustedPause = Duration.milliseconds(50)
    /// How often the connections are looked at while bytes are short.
    private static let lookInterval = Duration.seconds(1)

    private let listener: Int32
    private let stopping: Int32
    private let limits: AcceptorLimits
    private let connections: Connections
    private let adopt: (Int32) -> Void
    private let poll: Int32
    /// When each connection's time is up.
    private var pending: [Int32: MonotonicTime] = [:]
    /// When the listener is looked at again, while it rests.
    private var resume: MonotonicTime?
    /// When the connections are looked at again.
    private var nextLook: MonotonicTime?

    init?(
        listener: Int32, stopping: Int32, limits: AcceptorLimits, connections: Connections,
        adopt: @escaping (Int32) -> Void
    ) {
        self.listener = listener
        self.stopping = stopping
        self.limits = limits
        self.connections = connections
        self.adopt = adopt
        poll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard poll >= 0 else { return nil }
        add(listener, EPOLLIN.rawValue)
        add(stopping, EPOLLIN.rawValue)
        add(connections.attention, EPOLLIN.rawValue)
    }

    deinit {
        for descriptor in pending.keys { close(descriptor) }
        close(poll)
    }

    func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while true {
            let count = epoll_wait(poll, &events, Int32(events.count), timeout())
            for event in events.prefix(Int(max(count, 0))) {
                switch event.data.fd {
                case stopping: return
                case connections.attention: lookSoon()
                case listener: accept()
                default: look(at: event.data.fd)
                }
            }
            expire(MonotonicTime.now)
        }
    }

    private func add(_ descriptor: Int32, _ events: UInt32) {
        var event = epoll_event()
        event.events = events
        event.data.fd = descriptor
        epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event)
    }

    private func remove(_ descriptor: Int32) {
        epoll_ctl(poll, EPOLL_CTL_DEL, descriptor, nil)
    }

    /// Milliseconds until something must be done without an event; -1 when nothing must.
    private func timeout() -> Int32 {
        var next = pending.values.min()
        for moment in [resume, nextLook].compactMap(\.self) where next.map({ moment < $0 }) ?? true { next = moment }
        guard let next else { return -1 }
        let nanoseconds = max(next.nanoseconds(since: .now), 0)
        return Int32(clamping: nanoseconds / 1_000_000 + 1)
    }

    private func accept() {
        while true {
            let descriptor = dcf_accept4(
                listener, Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
            guard descriptor >= 0 else {
                switch errno {
                case EAGAIN: return
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    // The connection stays in the backlog; epoll would say so without end.
                    remove(listener)
                    resume = MonotonicTime.now.advanced(by: Self.exhaustedPause)
                    return
                default: continue
                }
            }
            guard descriptor <= min(limits.descriptorMax, Connections.descriptorMax), connections.open(descriptor)
            else {
                close(descriptor)
                continue
            }
            // Who has been silent longest makes room: silence must not keep others out.
            if pending.count >= limits.pendingMax, let oldest = pending.min(by: { $0.value < $1.value })?.key {
                pending[oldest] = nil
                close(oldest)
            }
            var yes: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
            pending[descriptor] = MonotonicTime.now.advanced(by: limits.prefaceTimeout)
            // Edge-triggered: what has come stays in the socket for the core to read, and is looked at once more only
            // when there is more of it.
            add(descriptor, EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue)
        }
    }

    private func look(at descriptor: Int32) {
        guard pending[descriptor] != nil else { return }
        var bytes = [UInt8](repeating: 0, count: Self.preface.count)
        let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_PEEK))
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        let isGood = count > 0 && Self.preface.starts(with: bytes.prefix(count))
        if isGood && count < Self.preface.count { return }
        pending[descriptor] = nil
        remove(descriptor)
        if isGood { adopt(descriptor) } else { close(descriptor) }
    }

    /// Somebody says that bytes are short.
    private func lookSoon() {
        var count: eventfd_t = 0
        eventfd_read(connections.attention, &count)
        if nextLook == nil { nextLook = .now }
    }

    private func expire(_ now: MonotonicTime) {
        if let look = nextLook, look <= now {
            connections.look(at: now)
            nextLook = connections.isLookedFor ? now.advanced(by: Self.lookInterval) : nil
        }
        if let resume, resume <= now {
            self.resume = nil
            add(listener, EPOLLIN.rawValue)
        }
        for (descriptor, deadline) in pending where deadline <= now {
            pending[descriptor] = nil
            close(descriptor)
        }
    }
}
