internal import CLinux
internal import GRPC
internal import Glibc
internal import Logging
internal import Synchronization

/// The gateway's end of all links: the unix sockets that watchers dial, and the one thread that reads what they say.
final class LinkServer: Sendable {
    /// Connections that have not said who they are may be so many.
    private static let strangersMax = 256

    private struct State {
        /// Replicas that are expected to dial, by their token.
        var expected: [String: any ReplicaLinkObserver] = [:]
        var commands: [@Sendable (LinkLoop) -> Void] = []
        var thread: Thread?
    }

    let path: String
    private let containerPath: String
    private let listeners: [Int32]
    private let wakeup: Int32
    private let maxBodyBytes: Int
    private let onTurn: @Sendable () -> Void
    private let invoker: Invoker
    private let logger: Logger
    private let state = Mutex(State())

    /// Binds the sockets.
    ///
    /// - Parameters:
    ///   - path: for processes of the gateway's own user; its folder must be the gateway's alone.
    ///   - containerPath: for containers, whoever runs in them: the token is the key. Its folder is seen by them, and by
    ///     nobody else.
    ///   - invoker: takes the calls that handlers make.
    ///   - onTurn: called on the links' thread when what was there has been read.
    init(
        path: String, containerPath: String, maxBodyBytes: Int, invoker: Invoker, logger: Logger,
        onTurn: @escaping @Sendable () -> Void = {}
    ) throws(LinkServerError) {
        self.path = path
        self.containerPath = containerPath
        self.onTurn = onTurn
        self.maxBodyBytes = maxBodyBytes
        self.invoker = invoker
        self.logger = logger
        let own = try Self.listen(at: path, mode: 0o600)
        do throws(LinkServerError) {
            listeners = [own, try Self.listen(at: containerPath, mode: 0o666)]
        } catch {
            close(own)
            throw error
        }
        wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    }

    deinit {
        for listener in listeners { close(listener) }
        close(wakeup)
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
            close(descriptor)
            throw .refused(path, reason: reason)
        }
        return descriptor
    }

    func start() {
        let thread = Thread(name: "links") { [self] in
            let loop = LinkLoop(
                listeners: listeners, wakeup: wakeup, maxBodyBytes: maxBodyBytes, strangersMax: Self.strangersMax,
                invoker: invoker, logger: logger, redeem: { [self] in redeem($0) },
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

    /// A watcher that shows `token` is `observer`'s.
    func expect(_ token: LinkToken, for observer: any ReplicaLinkObserver) {
        state.withLock { $0.expected[token.text] = observer }
    }

    /// The replica will not dial any more.
    func forget(_ token: LinkToken) {
        state.withLock { $0.expected[token.text] = nil }
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

    private func redeem(_ token: String) -> (any ReplicaLinkObserver)? {
        state.withLock { $0.expected.removeValue(forKey: token) }
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
