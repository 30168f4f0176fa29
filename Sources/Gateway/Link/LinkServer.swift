internal import CLinux
internal import GRPC
internal import Glibc
internal import Locks
internal import Logging
internal import WatcherLink

/// The gateway's end of all links: the sockets that watchers dial, and the one thread that reads what they say.
final class LinkServer: Sendable {
    /// A token that was given out.
    private struct Expectation {
        /// Whether it is good for any number of links, over TCP too.
        var isShared = false
        /// Who wants a link, the one that has waited longest first.
        var observers: [any ReplicaLinkObserver] = []
    }

    private struct State {
        var expected: [String: Expectation] = [:]
        var commands: [@Sendable (LinkLoop) -> Void] = []
        var thread: Thread?
    }

    let path: String
    private let containerPath: String
    private let listeners: [Int32]
    private let tcp: ListeningSocket?
    private let tcpDescriptor: Int32
    /// What watchers on other machines dial; nil when they cannot.
    let tcpPort: UInt16?
    private let wakeup: Int32
    private let maxBodyBytes: Int
    private let onTurn: @Sendable () -> Void
    private let invoker: Invoker
    private let logger: Logger
    let heartbeat = Heartbeat("links")
    private let state = Lock(State())

    /// Binds the sockets.
    ///
    /// - Parameters:
    ///   - path: for processes of the gateway's own user; its folder must be the gateway's alone.
    ///   - containerPath: for containers, whoever runs in them: the token is the key. Its folder is seen by them, and by
    ///     nobody else.
    ///   - tcp: for watchers on other machines; nil when there are none.
    ///   - invoker: takes the calls that handlers make.
    ///   - onTurn: called on the links' thread when what was there has been read.
    init(
        path: String, containerPath: String, tcp address: HostAddress? = nil, maxBodyBytes: Int, invoker: Invoker,
        logger: Logger,
        onTurn: @escaping @Sendable () -> Void = {}
    ) throws(LinkServerError) {
        self.path = path
        self.containerPath = containerPath
        self.onTurn = onTurn
        self.maxBodyBytes = maxBodyBytes
        self.invoker = invoker
        self.logger = logger
        if let address {
            do throws(AcceptorError) {
                let socket = try ListeningSocket(host: address.host, port: address.port)
                tcpDescriptor = socket.descriptor
                tcpPort = socket.port
                tcp = consume socket
            } catch {
                throw .address(address, reason: error.reason)
            }
        } else {
            tcpDescriptor = -1
            tcpPort = nil
            tcp = nil
        }
        let own = try Self.listen(at: path, mode: 0o600)
        do throws(LinkServerError) {
            listeners = [own, try Self.listen(at: containerPath, mode: 0o666)]
        } catch {
            Glibc.close(own)
            throw error
        }
        wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    }

    deinit {
        for listener in listeners { Glibc.close(listener) }
        Glibc.close(wakeup)
    }

    private static func listen(at path: String, mode: mode_t) throws(LinkServerError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { target in
            guard path.utf8.count < target.count else { return false }
            target.copyBytes(from: path.utf8)
            return true
        }
        guard fits else { throw .pathTooLong(path) }
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .refused(path, reason: String(cString: strerror(errno))) }
        // A socket that a killed gateway left; the data folder's lock says that nobody listens on it.
        unlink(path)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0, chmod(path, mode) == 0, Glibc.listen(descriptor, 1024) == 0 else {
            let reason = String(cString: strerror(errno))
            Glibc.close(descriptor)
            throw .refused(path, reason: reason)
        }
        return descriptor
    }

    func start() {
        let thread = Thread(name: "links") { [self] in
            let loop = LinkLoop(
                listeners: tcpDescriptor < 0 ? listeners : listeners + [tcpDescriptor], remoteListener: tcpDescriptor,
                wakeup: wakeup, maxBodyBytes: maxBodyBytes, invoker: invoker, logger: logger,
                heartbeat: heartbeat, redeem: { [self] in redeem($0) },
                commands: { [self] in takeCommands() }, onTurn: onTurn)
            loop.run()
        }
        state.withLock { $0.thread = thread }
    }

    /// Closes every link and waits for the thread.
    func stop() {
        perform { $0.stop() }
        let thread = state.withLock { state in
            defer { state.thread = nil }
            return state.thread
        }
        thread?.join()
        unlink(path)
        unlink(containerPath)
    }

    /// From now on `token` is one that several watchers show, over TCP too. A link that comes while nobody expects one
    /// waits, for 60 s at most.
    func open(_ token: LinkToken) {
        state.withLock { $0.expected[token.text, default: Expectation()].isShared = true }
    }

    /// `token` is good no more. Links that wait are ended; those that are somebody's go on.
    func close(_ token: LinkToken) {
        state.withLock { $0.expected[token.text] = nil }
        perform { $0.expel(token.text) }
    }

    /// A watcher that shows `token` is `observer`'s. Where several expect the same, the one that has waited longest gets
    /// the next link; each gets one for each time that it expects one.
    func expect(_ token: LinkToken, for observer: any ReplicaLinkObserver) {
        let isShared = state.withLock { state in
            state.expected[token.text, default: Expectation()].observers.append(observer)
            return state.expected[token.text]?.isShared == true
        }
        if isShared { perform { $0.offer(token.text) } }
    }

    /// `observer` wants none any more.
    func forget(_ token: LinkToken, for observer: any ReplicaLinkObserver) {
        state.withLock { state in
            guard var expectation = state.expected[token.text] else { return }
            expectation.observers.removeAll { $0 === observer }
            let isOver = expectation.observers.isEmpty && !expectation.isShared
            state.expected[token.text] = isOver ? nil : expectation
        }
    }

    /// Reads what is left on a link whose process has ended, closes it, and fails the calls that have no answer.
    ///
    /// - Parameter how: the process ended.
    func finish(_ link: ReplicaLink, how: String) async {
        let done = Promise<Void>()
        perform { loop in
            loop.finish(link, reason: how)
            link.detach(how: how)
            done.settle(())
        }
        _ = await done.value()
    }

    /// Reads what is there of a replica whose process has ended, also where it dialled and nobody has looked yet.
    func readAll(of observer: any ReplicaLinkObserver) async {
        let done = Promise<Void>()
        perform { loop in
            loop.readAll(of: observer)
            done.settle(())
        }
        _ = await done.value()
    }

    private func redeem(_ claim: LinkClaim) -> LinkAdmission {
        switch claim {
        case .token(let token): take(token)
        case .proof(let proof, let challenge): token(of: proof, challenge).map { take($0) } ?? .refused
        }
    }

    /// Which token it is that was proved. There are as many as functions on other machines, so all are tried.
    private func token(of proof: Hello.Proof, _ challenge: [UInt8]) -> String? {
        let shared = state.withLock { state in state.expected.filter { $0.value.isShared }.map(\.key) }
        return shared.first { token in
            HMAC.isEqual(LinkProof.ofWatcher(token: token, nonce: challenge, task: proof.task), proof.code)
        }
    }

    private func take(_ token: String) -> LinkAdmission {
        state.withLock { state in
            guard var expectation = state.expected[token] else { return .refused }
            guard !expectation.observers.isEmpty else { return .waits(token: token) }
            let observer = expectation.observers.removeFirst()
            let isOver = expectation.observers.isEmpty && !expectation.isShared
            state.expected[token] = isOver ? nil : expectation
            return .observer(observer, token: token)
        }
    }

    /// Runs `command` on the links' thread.
    private func perform(_ command: @escaping @Sendable (LinkLoop) -> Void) {
        state.withLock { $0.commands.append(command) }
        eventfd_write(wakeup, 1)
    }

    private func takeCommands() -> [@Sendable (LinkLoop) -> Void] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }
}
