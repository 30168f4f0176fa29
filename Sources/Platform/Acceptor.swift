internal import CLinux
internal import Glibc
internal import Synchronization

/// The protocol of a connection, told by its first bytes.
package enum ConnectionProtocol: Sendable {
    /// A letter that begins a method (RFC 9112, 3), so anything that is not HTTP/2.
    case http1
    /// The 24 bytes that begin HTTP/2 (RFC 9113, 3.4).
    case http2
}

/// Counts the connections of an ``Acceptor``, and says which of them may come. Any thread may use it.
package protocol ConnectionCount: AnyObject, Sendable {
    /// Counts a new connection until its descriptor is closed; false when it is refused, and its caller must close the
    /// descriptor.
    func open(_ descriptor: Int32) -> Bool

    /// Signalled when `endStalled` must be called.
    var attention: Wakeup { get }
    /// Whether `endStalled` must be called each second.
    var needsStallCheck: Bool { get }
    /// Ends connections that hold memory which others need and make no progress.
    func endStalled(at now: MonotonicTime)
}

/// Accepts connections on its own thread, and gives each to the server of its protocol.
///
/// A server's own listener is not used: that of the gRPC core stops accepting for good after one EMFILE
/// (CVE-2023-4785), and waits for ever for a peer that sends nothing. Here a connection reaches a server only after it
/// has sent, within a time limit, the first bytes of a protocol, and the number of descriptors is bounded.
///
/// `start` is called once. `stop` may be called again. Any thread may call them.
package final class Acceptor: Sendable {
    private let socket: Lock<ListeningSocket?>
    private let poll: EventPoll
    private let isStopping = Atomic(false)
    private let thread: Lock<Thread?>

    /// The port that it listens on.
    package let port: UInt16
    /// Whether only this machine can reach it.
    package let isLoopback: Bool

    /// - Parameter socket: listens already. The acceptor owns it from now on.
    package init(_ socket: consuming ListeningSocket) throws(FileError) {
        poll = try EventPoll()
        port = socket.port
        isLoopback = socket.isLoopback
        self.socket = Lock(socket)
        thread = Lock(nil)
    }

    /// Begins to accept.
    ///
    /// - Parameters:
    ///   - connections: counts the connections, and says which of them may come.
    ///   - adopt: gets the descriptor of each connection that has begun to speak, on the acceptor's thread. It must not
    ///     block, and owns the descriptor from now on. The first bytes are still in the socket.
    package func start(
        limits: AcceptorLimits, connections: any ConnectionCount,
        adopt: @escaping @Sendable (Int32, ConnectionProtocol) -> Void
    ) {
        guard let listener = socket.withLock({ $0?.descriptor }) else { return }
        thread.withLock { thread in
            thread = Thread(name: "acceptor") { [self] in
                let loop = AcceptLoop(
                    listener: listener, poll: poll, limits: limits, connections: connections, adopt: adopt)
                loop.run(until: { isStopping.load(ordering: .relaxed) })
            }
        }
    }

    /// Accepts the connections that are being made, and no others.
    ///
    /// A listener that is closed resets each connection that the kernel has made and that was not accepted yet. To lose
    /// none, call this, wait for a round trip, and then call ``stop()``.
    package func finishAccepting() {
        socket.withLock { socket in
            if let descriptor = socket?.descriptor { _ = dcf_ignore_connection_requests(descriptor) }
        }
    }

    /// Closes the listener and the connections that have not begun to speak, and waits for the thread.
    package func stop() {
        isStopping.store(true, ordering: .relaxed)
        poll.wake()
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
        // From now on the kernel refuses clients at once, and they can go elsewhere.
        socket.withLock { $0 = nil }
    }
}

/// The limits of an ``Acceptor``. A value.
package struct AcceptorLimits: Sendable {
    /// How long a new connection may take to begin to speak; with HTTP/2, to send the whole preface.
    package var prefaceTimeout: Duration
    /// How many connections that have not begun to speak there may be at a time.
    package var pendingMax: Int
    /// The highest descriptor number that a connection may get: the kernel always gives the lowest number that is free.
    package var descriptorMax: Int32

    package init(prefaceTimeout: Duration = .seconds(10), pendingMax: Int = 256, descriptorMax: Int32) {
        self.prefaceTimeout = prefaceTimeout
        self.pendingMax = pendingMax
        self.descriptorMax = descriptorMax
    }

    /// The limit for this process: at most `max`, and `reserve` below what the system allows it.
    package static func descriptorMax(_ max: Int32, reserve: Int32) -> Int32 {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let allowed = Int32(clamping: limit.rlim_cur)
        return min(max, Swift.max(allowed - reserve, 16))
    }
}

/// The loop of an ``Acceptor``'s thread: it waits for new connections, and for the first bytes of those that have sent
/// none. Used on that thread alone.
private final class AcceptLoop {
    /// The first bytes of an HTTP/2 connection (RFC 9113, 3.4).
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    /// How long the listener rests when the system has no descriptor left.
    private static let exhaustedPause = Duration.milliseconds(50)
    /// How often connections are checked for progress while memory for messages is short.
    private static let stallCheckInterval = Duration.seconds(1)

    private let listener: Int32
    private let limits: AcceptorLimits
    private let connections: any ConnectionCount
    private let adopt: (Int32, ConnectionProtocol) -> Void
    private let poll: EventPoll
    /// The connections that have not begun to speak, and when the time of each is up.
    private var pending: [Int32: MonotonicTime] = [:]
    /// When the listener is watched again; nil unless it rests.
    private var resume: MonotonicTime?
    /// When connections are checked for progress again.
    private var nextStallCheck: MonotonicTime?

    init(
        listener: Int32, poll: EventPoll, limits: AcceptorLimits, connections: any ConnectionCount,
        adopt: @escaping (Int32, ConnectionProtocol) -> Void
    ) {
        self.listener = listener
        self.poll = poll
        self.limits = limits
        self.connections = connections
        self.adopt = adopt
        watch(listener)
        watch(connections.attention.descriptor)
    }

    deinit {
        for descriptor in pending.keys { close(descriptor) }
    }

    /// Runs until a wake-up after which `isOver` is true.
    func run(until isOver: () -> Bool) {
        while !isOver() {
            for index in 0..<poll.wait(milliseconds: timeout()) {
                guard let descriptor = poll.event(index).map({ Int32($0.key) }) else { continue }
                switch descriptor {
                case connections.attention.descriptor: checkStallsNow()
                case listener: accept()
                default: checkFirstBytes(of: descriptor)
                }
            }
            expire(MonotonicTime.now)
        }
    }

    /// Watches a descriptor, or gives up on it where the system has no memory to watch it.
    private func watch(_ descriptor: Int32, for events: EventPoll.Events = .readable) {
        try? poll.watch(descriptor, for: events, key: UInt64(descriptor), named: "a connection")
    }

    /// Milliseconds until there is work without an event; -1 where there will be none.
    private func timeout() -> Int32 {
        var next = pending.values.min()
        for moment in [resume, nextStallCheck].compactMap(\.self) where next.map({ moment < $0 }) ?? true {
            next = moment
        }
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
                    // The connection stays in the backlog, and epoll would report it again and again.
                    poll.remove(listener)
                    resume = MonotonicTime.now.advanced(by: Self.exhaustedPause)
                    return
                default: continue
                }
            }
            guard descriptor <= limits.descriptorMax, connections.open(descriptor) else {
                close(descriptor)
                continue
            }
            // The connection that has been silent for longest is closed: silent peers must not keep others out. One
            // that has spoken, and was not looked at since, goes to its server.
            if pending.count >= limits.pendingMax, let oldest = pending.min(by: { $0.value < $1.value })?.key {
                checkFirstBytes(of: oldest)
                if pending.removeValue(forKey: oldest) != nil { close(oldest) }
            }
            var yes: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
            pending[descriptor] = MonotonicTime.now.advanced(by: limits.prefaceTimeout)
            // Edge-triggered: the bytes stay in the socket for the core to read, and the connection is looked at again
            // only when more bytes have come.
            watch(descriptor, for: [.readable, .peerClosed, .edgeTriggered])
        }
    }

    /// Hands the connection on once its first bytes tell the protocol, and closes it where they tell none.
    private func checkFirstBytes(of descriptor: Int32) {
        guard pending[descriptor] != nil else { return }
        var bytes = [UInt8](repeating: 0, count: Self.preface.count)
        let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_PEEK))
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        let first = bytes.prefix(max(count, 0))
        let isHTTP2 = Self.preface.starts(with: first)
        if isHTTP2 && !first.isEmpty && first.count < Self.preface.count { return }
        pending[descriptor] = nil
        poll.remove(descriptor)
        switch first.first {
        case nil: close(descriptor)
        case _ where isHTTP2: adopt(descriptor, .http2)
        case .some(UInt8(ascii: "A")...UInt8(ascii: "Z")): adopt(descriptor, .http1)
        case .some: close(descriptor)
        }
    }

    /// A connection reports that memory for messages is short.
    private func checkStallsNow() {
        connections.attention.clear()
        if nextStallCheck == nil { nextStallCheck = .now }
    }

    private func expire(_ now: MonotonicTime) {
        if let moment = nextStallCheck, moment <= now {
            connections.endStalled(at: now)
            nextStallCheck = connections.needsStallCheck ? now.advanced(by: Self.stallCheckInterval) : nil
        }
        if let resume, resume <= now {
            self.resume = nil
            watch(listener)
        }
        for (descriptor, deadline) in pending where deadline <= now {
            pending[descriptor] = nil
            close(descriptor)
        }
    }
}
