internal import Calls
internal import CLinux
internal import Glibc
internal import Logging
internal import Platform
internal import WatcherLink

/// The loop of a thread that reads links: it accepts watchers where it has listeners, reads their frames, and goes on
/// writing when a full socket has room. Used on that thread alone.
final class LinkLoop {
    /// How many connections may be without a token: on unix sockets, and as many over TCP.
    private static let unauthenticatedMax = 256
    /// How many links may wait for an observer.
    private static let waitingMax = 1_024
    /// How many connections are accepted in one turn, so that a flood of them leaves time for the rest.
    private static let acceptedMax = 64
    /// The least time between two log lines about connections that were closed before they had an observer.
    private static let complaintInterval = Duration.seconds(1)
    /// How long a listener rests when the system has no descriptor left. Replies on the existing links do not wait for
    /// it.
    private static let exhaustedPause = Duration.milliseconds(50)

    /// The send buffer of a link. The system doubles the number for its own bookkeeping.
    private static let sendBufferBytes: Int32 = 2 << 20

    private var listeners: [Int32]
    /// The listener for other machines; -1 where there is none.
    private let remoteListener: Int32
    let thread: LinkThread
    /// All threads that read links, this one too. Links begin on the first.
    let threads: [LinkThread]
    let bounds: LoadBounds
    let burst: ReplyBurst
    var links: [Int32: ReplicaLink] = [:]
    private let maxBodyBytes: Int
    private let invoker: Invoker
    private let logger: Logger
    private let redeem: (LinkCredential) -> LinkAdmission
    private var pending = LinkWaitlist()
    /// How many closed connections were not logged since the last line.
    private var suppressedComplaints = 0
    /// From when on the next line may be logged.
    private var nextComplaint = MonotonicTime(nanoseconds: 0)
    private var isStopping = false
    /// The listeners that rest.
    private var resting: [Int32] = []
    /// Until when they rest.
    private var resume = MonotonicTime.never

    init(
        _ thread: LinkThread, of threads: [LinkThread], load bounds: LoadBounds, listeners: [Int32],
        remoteListener: Int32, maxBodyBytes: Int, invoker: Invoker, logger: Logger,
        redeem: @escaping (LinkCredential) -> LinkAdmission, turns: (any ReplyTurns)?
    ) {
        self.thread = thread
        self.threads = threads
        self.bounds = bounds
        burst = ReplyBurst(turns)
        self.listeners = listeners
        self.remoteListener = remoteListener
        self.maxBodyBytes = maxBodyBytes
        self.invoker = invoker
        self.logger = logger
        self.redeem = redeem
        for listener in listeners { watch(listener) }
    }

    var poll: EventPoll { thread.poll }

    /// Watches a descriptor, or gives up on it where the system has no memory to watch it.
    private func watch(_ descriptor: Int32) {
        try? poll.watch(descriptor, key: UInt64(descriptor), named: "a link")
    }

    func run() {
        let poll = poll
        let heartbeat = thread.heartbeat
        var load = ThreadLoad(bounds)
        while !isStopping {
            let count = poll.wait(milliseconds: timeout())
            heartbeat.begin()
            // Several watchers may have answered.
            if count > 1 { burst.begin() }
            for index in 0..<count {
                if let (key, events) = poll.event(index) { handle(Int32(key), events) } else { performCommands() }
            }
            if !pending.isEmpty { expire() }
            if !resting.isEmpty { listenAgain(at: .now) }
            burst.end()
            if threads.count > 1, let share = load.noteTurn() { shareLinks(share, at: .now) }
            heartbeat.end()
        }
        for link in Array(links.values) { close(link, .byGateway("the gateway stops")) }
    }

    func stop() {
        isStopping = true
    }

    /// Listens on another socket from now on. Connections that wait at the old one are accepted, and it is closed.
    func replace(listener old: Int32, with new: Int32) {
        accept(old)
        listeners.removeAll { $0 == old }
        poll.remove(old)
        Glibc.close(old)
        listeners.append(new)
        watch(new)
    }

    private func timeout() -> Int32 {
        let expiry = pending.isEmpty ? -1 : pending.timeout(at: .now)
        guard !resting.isEmpty else { return expiry }
        let pause = Int32(clamping: max(resume.nanoseconds(since: .now), 0) / 1_000_000 + 1)
        return expiry < 0 ? pause : min(expiry, pause)
    }

    private func handle(_ descriptor: Int32, _ events: EventPoll.Events) {
        if let link = links[descriptor] {
            if events.contains(.writable) {
                poll.change(descriptor, to: .readable, key: UInt64(descriptor))
                link.writable()
            }
            if events != .writable { read(link) }
        } else if listeners.contains(descriptor) {
            accept(descriptor)
        }
    }

    private func performCommands() {
        let commands = thread.takeCommands()
        assertNoLockIsHeld()
        for command in commands { command(self) }
    }

    private func read(_ link: ReplicaLink, readsAll: Bool = false) {
        if let end = link.readable(readsAll: readsAll) {
            close(link, end)
        } else if !pending.isEmpty {
            place(link)
        }
    }

    /// Reads the links of a replica, and the connections that may belong to it: those that have not presented a token.
    func readAll(of observer: any ReplicaLinkObserver) {
        for listener in listeners { accept(listener) }
        for link in Array(links.values) where !link.isKnown || link.observer === observer {
            read(link, readsAll: true)
        }
    }

    private func accept(_ listener: Int32) {
        let isRemote = listener == remoteListener
        for _ in 0..<Self.acceptedMax {
            let descriptor = dcf_accept4(
                listener, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard descriptor >= 0 else {
                if errno == EINTR || errno == ECONNABORTED { continue }
                // The connection stays in the backlog, and epoll would report it again and again.
                if errno != EAGAIN { rest(listener) }
                return
            }
            guard makeRoom(isRemote: isRemote) else {
                Glibc.close(descriptor)
                continue
            }
            if isRemote { dcf_tcp_set_keepalive(descriptor) } else { Self.widen(descriptor) }
            let link = ReplicaLink(
                descriptor: descriptor, isRemote: isRemote, maxBodyBytes: maxBodyBytes, invoker: invoker, burst: burst,
                home: LinkHome(thread, descriptor: descriptor), redeem: redeem)
            links[descriptor] = link
            pending.set(descriptor, isRemote ? .remoteUnauthenticated : .unauthenticated)
            watch(descriptor)
            link.begin()
        }
    }

    private func rest(_ listener: Int32) {
        poll.remove(listener)
        resting.append(listener)
        resume = MonotonicTime.now.advanced(by: Self.exhaustedPause)
    }

    private func listenAgain(at now: MonotonicTime) {
        guard resume <= now else { return }
        for listener in resting where listeners.contains(listener) { watch(listener) }
        resting = []
    }

    /// Enlarges the send buffer so that a large input needs one write, if the system allows it. Otherwise each full
    /// buffer costs a wait.
    private static func widen(_ descriptor: Int32) {
        var size = sendBufferBytes
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Whether one more connection may come. Over TCP the connection that has been silent for longest is closed for it:
    /// a watcher presents its token within one round trip, so a flood of silent connections does not keep it out.
    private func makeRoom(isRemote: Bool) -> Bool {
        let kind: LinkWaitlist.Kind = isRemote ? .remoteUnauthenticated : .unauthenticated
        guard pending.count(kind) >= Self.unauthenticatedMax else { return true }
        guard isRemote, let first = pending.first(kind), let link = links[first] else { return false }
        close(link, .byGateway("too many connections have not presented a token"))
        return true
    }

    /// Updates the waitlist after a link has presented a token.
    private func place(_ link: ReplicaLink) {
        guard link.isKnown else { return }
        guard link.awaitedToken != nil else { return pending.remove(link.descriptor) }
        pending.set(link.descriptor, .waiting)
        if pending.count(.waiting) > Self.waitingMax {
            close(link, .byGateway("too many links wait for a replica"))
        }
    }

    private func expire() {
        for descriptor in pending.expired(at: .now) {
            guard let link = links[descriptor] else { continue }
            let isUnauthenticated = link.awaitedToken == nil
            close(link, .byGateway(isUnauthenticated ? "it did not present a token" : "no replica expected it"))
        }
    }

    /// Logs why a connection without an observer was closed.
    private func complain(_ end: LinkEnd) {
        let now = MonotonicTime.now
        guard nextComplaint <= now else {
            suppressedComplaints += 1
            return
        }
        let others = suppressedComplaints == 0 ? "" : " (and \(suppressedComplaints) others since the last such line)"
        logger.warning("a connection to the watchers' socket was closed: \(end)\(others)")
        suppressedComplaints = 0
        nextComplaint = now.advanced(by: Self.complaintInterval)
    }

    /// Gives the links that wait with `token` to the observers that expect it, in the order in which both came.
    func offer(_ token: String) {
        for link in waiting(for: token) {
            guard case .observer(let observer, _) = redeem(.token(token)) else { return }
            pending.remove(link.descriptor)
            do throws(LinkError) {
                try link.admit(observer)
            } catch {
                close(link, .protocolError(error))
            }
        }
    }

    /// Ends the links that wait with `token`.
    func expel(_ token: String) {
        for link in waiting(for: token) { close(link, .byGateway("its token is not valid any more")) }
    }

    private func waiting(for token: String) -> [ReplicaLink] {
        pending.all(.waiting).compactMap { links[$0] }.filter { $0.awaitedToken == token }
    }

    /// Reads the rest of a link, and closes it.
    func finish(_ link: ReplicaLink, reason: String) {
        guard links[link.descriptor] === link else { return }
        _ = link.readable(readsAll: true)
        close(link, .byGateway(reason))
    }

    func close(_ link: ReplicaLink, _ end: LinkEnd) {
        poll.remove(link.descriptor)
        links[link.descriptor] = nil
        pending.remove(link.descriptor)
        link.shutdown()
        if !link.isKnown || link.awaitedToken != nil { complain(end) }
        link.ended(end)
    }
}
