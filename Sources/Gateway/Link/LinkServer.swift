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

    /// A socket in the file system that watchers dial.
    private struct Listener {
        let path: String
        let mode: mode_t
        var descriptor: Int32
        /// Which file it is.
        var file: FileNumber

        struct FileNumber: Equatable {
            let device: dev_t
            let inode: ino_t

            /// Of the socket at `path`; nil where there is none.
            init?(_ path: String) {
                var found = stat()
                guard lstat(path, &found) == 0, found.st_mode & S_IFMT == S_IFSOCK else { return nil }
                (device, inode) = (found.st_dev, found.st_ino)
            }
        }

        init(_ path: String, mode: mode_t) throws(LinkServerError) {
            self.path = path
            self.mode = mode
            descriptor = try LinkServer.listen(at: path, mode: mode)
            guard let file = FileNumber(path) else {
                Glibc.close(descriptor)
                throw .refused(path, reason: "it was removed at once")
            }
            self.file = file
        }
    }

    private struct State {
        var expected: [String: Expectation] = [:]
        var commands: [@Sendable (LinkLoop) -> Void] = []
        var thread: Thread?
    }

    let path: String
    private let containerPath: String
    /// For processes, and for containers.
    private let listeners: Lock<[Listener]>
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
        let own = try Listener(path, mode: 0o600)
        do throws(LinkServerError) {
            listeners = Lock([own, try Listener(containerPath, mode: 0o666)])
        } catch {
            Glibc.close(own.descriptor)
            throw error
        }
        wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    }

    deinit {
        for listener in listeners.withLock({ $0 }) { Glibc.close(listener.descriptor) }
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
            let listeners = listeners.withLock { $0 }.map(\.descriptor)
            let loop = LinkLoop(
                listeners: tcpDescriptor < 0 ? listeners : listeners + [tcpDescriptor], remoteListener: tcpDescriptor,
                wakeup: wakeup, maxBodyBytes: maxBodyBytes, invoker: invoker, logger: logger,
                heartbeat: heartbeat, redeem: { [self] in redeem($0) },
                commands: { [self] in takeCommands() }, onTurn: onTurn)
            loop.run()
        }
        state.withLock { $0.thread = thread }
    }

    /// Makes the sockets again that somebody has removed: no watcher that starts now could dial. To be called before each start.
    func repairSockets() {
        var failure: LinkServerError?
        let replaced = listeners.withLock { listeners in
            var replaced: [(old: Int32, new: Listener)] = []
            for index in listeners.indices {
                let old = listeners[index]
                guard Listener.FileNumber(old.path) != old.file else { continue }
                let folder = String(old.path.prefix(upTo: old.path.lastIndex(of: "/") ?? old.path.startIndex))
                // As `DataFolder` makes them; it may be there.
                mkdir(folder, old.mode == 0o600 ? 0o700 : 0o711)
                do throws(LinkServerError) {
                    let new = try Listener(old.path, mode: old.mode)
                    listeners[index] = new
                    replaced.append((old.descriptor, new))
                } catch { failure = error }
            }
            return replaced
        }
        if let failure { logger.error("a watchers' socket was removed, and cannot be made again: \(failure)") }
        for (old, new) in replaced {
            logger.warning("the watchers' socket \(new.path) was removed; it is made again")
            perform { $0.replace(listener: old, with: new.descriptor) }
        }
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
