package import Calls
internal import CLinux
internal import Glibc
package import Logging
package import Platform
internal import WatcherLink

/// The gateway's side of all links: the sockets to which watchers connect, and the threads that read the links.
///
/// One thread accepts the links and reads them. When it is busy, it shares them with more threads.
///
/// Any thread may use it. `start` and `stop` are called once each.
package final class LinkServer: Sendable {
    /// What is expected of a token that was given out.
    private struct Expectation {
        /// Whether the token is valid for any number of links, and also over TCP.
        var isShared = false
        /// The observers that wait for a link, the one that has waited longest first.
        var observers: [any ReplicaLinkObserver] = []
    }

    /// A socket in the file system to which watchers connect.
    private struct Listener {
        let path: String
        let mode: mode_t
        var descriptor: Int32
        /// The identity of the socket's file.
        var file: FileNumber

        struct FileNumber: Equatable {
            let device: dev_t
            let inode: ino_t

            /// The identity of the socket at `path`; nil where there is none.
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

    /// The socket for processes.
    package let path: String
    private let containerPath: String
    /// The socket for processes, and the one for containers.
    private let listeners: Lock<[Listener]>
    private let tcp: ListeningSocket?
    private let tcpDescriptor: Int32
    /// The port for watchers on other machines; nil when there are none.
    package let tcpPort: UInt16?
    /// The thread that accepts links.
    private let first: LinkThread
    let threads: [LinkThread]
    private let bounds: LoadBounds
    private let maxBodyBytes: Int
    private let turns: (any ReplyTurns)?
    private let invoker: Invoker
    private let logger: Logger
    /// What is expected, by the token.
    private let expected = Lock<[String: Expectation]>([:])

    /// Binds the sockets.
    ///
    /// - Parameters:
    ///   - path: the socket for processes of the gateway's own user. Only the gateway may have access to its folder.
    ///   - containerPath: the socket for containers. Any user in a container may connect: the token decides. Only the
    ///     containers may see its folder.
    ///   - tcp: the address for watchers on other machines; nil when there are none.
    ///   - maxBodyBytes: the most bytes of a frame's head and payload.
    ///   - invoker: takes the calls that handlers make.
    ///   - turns: learns of the turns of the threads that read links.
    ///   - threadsMax: how many threads may read links.
    ///   - load: when a thread shares its links with one more.
    package init(
        path: String, containerPath: String, tcp address: HostAddress? = nil, maxBodyBytes: Int, invoker: Invoker,
        logger: Logger, turns: (any ReplyTurns)? = nil, threadsMax: Int = LoadBounds.threadsMax,
        load: LoadBounds = LoadBounds()
    ) throws(LinkServerError) {
        do throws(FileError) {
            first = try LinkThread(name: "links")
            var more: [LinkThread] = []
            for number in 1..<max(threadsMax, 1) { more.append(try LinkThread(name: "links \(number + 1)")) }
            threads = [first] + more
        } catch { throw .refused(path, reason: "\(error)") }
        bounds = load
        self.path = path
        self.containerPath = containerPath
        self.turns = turns
        self.maxBodyBytes = maxBodyBytes
        self.invoker = invoker
        self.logger = logger
        if let address {
            do throws(ListenError) {
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
    }

    deinit {
        for listener in listeners.withLock({ $0 }) { Glibc.close(listener.descriptor) }
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
        // A killed gateway may have left its socket. The data folder's lock shows that no process listens on it.
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

    /// One heartbeat for each thread.
    package var heartbeats: [Heartbeat] { threads.map(\.heartbeat) }

    /// Starts the threads. Links are accepted from now on.
    package func start() {
        var sockets = listeners.withLock { $0 }.map(\.descriptor)
        if tcpDescriptor >= 0 { sockets.append(tcpDescriptor) }
        for thread in threads {
            let listeners = thread === first ? sockets : []
            thread.start { [self] in
                let loop = LinkLoop(
                    thread, of: threads, load: bounds, listeners: listeners, remoteListener: tcpDescriptor,
                    maxBodyBytes: maxBodyBytes, invoker: invoker, logger: logger, redeem: { [self] in redeem($0) },
                    turns: turns)
                loop.run()
            }
        }
    }

    /// Makes the sockets again that were removed: no new watcher could connect to them. Call it before each start of a
    /// replica.
    package func repairSockets() {
        var failure: LinkServerError?
        let replaced = listeners.withLock { listeners in
            var replaced: [(old: Int32, new: Listener)] = []
            for index in listeners.indices {
                let old = listeners[index]
                guard Listener.FileNumber(old.path) != old.file else { continue }
                let folder = String(old.path.prefix(upTo: old.path.lastIndex(of: "/") ?? old.path.startIndex))
                // With the modes of `DataFolder`. The folder may exist.
                mkdir(folder, old.mode == 0o600 ? 0o700 : 0o711)
                do throws(LinkServerError) {
                    let new = try Listener(old.path, mode: old.mode)
                    listeners[index] = new
                    replaced.append((old.descriptor, new))
                } catch { failure = error }
            }
            return replaced
        }
        if let failure { logger.error("a watchers' socket was removed and cannot be made again: \(failure)") }
        for (old, new) in replaced {
            logger.warning("the watchers' socket \(new.path) was removed; it is made again")
            first.perform { $0.replace(listener: old, with: new.descriptor) }
        }
    }

    /// Closes every link and waits for the threads.
    package func stop() {
        for thread in threads { thread.stop() }
        unlink(path)
        unlink(containerPath)
    }

    /// From now on several watchers may present `token`, also over TCP. A link that comes while no observer expects one
    /// waits for at most 60 s.
    package func open(_ token: LinkToken) {
        expected.withLock { $0[token.text, default: Expectation()].isShared = true }
    }

    /// Makes `token` invalid. Links that wait are ended; links that have an observer go on.
    package func close(_ token: LinkToken) {
        expected.withLock { $0[token.text] = nil }
        first.perform { $0.expel(token.text) }
    }

    /// Gives `observer` the link of the next watcher that presents `token`. Where several observers expect the same
    /// token, the one that has waited longest gets the next link. Each call brings one link.
    package func expect(_ token: LinkToken, for observer: any ReplicaLinkObserver) {
        let isShared = expected.withLock { expected in
            expected[token.text, default: Expectation()].observers.append(observer)
            return expected[token.text]?.isShared == true
        }
        if isShared { first.perform { $0.offer(token.text) } }
    }

    /// Withdraws `expect`: `observer` wants no link any more.
    package func forget(_ token: LinkToken, for observer: any ReplicaLinkObserver) {
        expected.withLock { expected in
            guard var expectation = expected[token.text] else { return }
            expectation.observers.removeAll { $0 === observer }
            let isOver = expectation.observers.isEmpty && !expectation.isShared
            expected[token.text] = isOver ? nil : expectation
        }
    }

    /// Finishes a link after its process has ended: reads what is left on it, closes it, and fails the calls without an
    /// answer.
    ///
    /// - Parameter how: how the process ended, in words.
    package func finish(_ link: ReplicaLink, how: String) async {
        let done = Promise<Void>()
        perform(on: link) { loop in
            loop?.finish(link, reason: how)
            link.detach(how: how)
            done.settle(())
        }
        _ = await done.value()
    }

    /// Reads everything that a replica has sent before its process ended, also on a connection that was not accepted
    /// yet. The replica does not serve calls: links that do may be on other threads than the first.
    package func readAll(of observer: any ReplicaLinkObserver) async {
        let done = Promise<Void>()
        first.perform { loop in
            loop.readAll(of: observer)
            done.settle(())
        }
        _ = await done.value()
    }

    /// Decides on a link by the credential that its watcher presents.
    private func redeem(_ credential: LinkCredential) -> LinkAdmission {
        switch credential {
        case .token(let token): admission(for: token)
        case .proof(let proof, let challenge): token(of: proof, challenge).map { admission(for: $0) } ?? .refused
        }
    }

    /// The token that was proved. There is one for each function on other machines, so all of them are tried.
    private func token(of proof: Hello.Proof, _ challenge: [UInt8]) -> String? {
        let shared = expected.withLock { expected in expected.filter { $0.value.isShared }.map(\.key) }
        return shared.first { token in
            HMAC.isEqual(LinkProof.ofWatcher(token: token, nonce: challenge, task: proof.task), proof.code)
        }
    }

    private func admission(for token: String) -> LinkAdmission {
        expected.withLock { expected in
            guard var expectation = expected[token] else { return .refused }
            guard !expectation.observers.isEmpty else { return .waits(token: token) }
            let observer = expectation.observers.removeFirst()
            let isOver = expectation.observers.isEmpty && !expectation.isShared
            expected[token] = isOver ? nil : expectation
            return .observer(observer, token: token)
        }
    }

    /// Runs `command` on the thread of `link`; without a loop where that thread has ended, and the link with it.
    private func perform(on link: ReplicaLink, _ command: @escaping @Sendable (LinkLoop?) -> Void) {
        let thread = link.home.thread
        let isTaken = thread.perform { [self] loop in
            // The link may have moved meanwhile. Its new thread has it before this command then.
            guard link.home.thread === thread else { return perform(on: link, command) }
            command(loop)
        }
        if !isTaken { command(nil) }
    }
}

/// What a watcher presents to show which token it was given.
enum LinkCredential {
    case token(String)
    /// Over TCP the token itself is not sent.
    case proof(Hello.Proof, challenge: [UInt8])
}

/// The decision on a link whose watcher has presented a credential.
enum LinkAdmission {
    /// The link belongs to this observer.
    case observer(any ReplicaLinkObserver, token: String)
    /// The token is valid, and no observer expects a link at the moment.
    case waits(token: String)
    /// The token was not given out.
    case refused
}

/// Why the gateway cannot listen for watchers.
package enum LinkServerError: Error, CustomStringConvertible {
    case pathTooLong(String)
    case refused(String, reason: String)
    case address(HostAddress, reason: String)

    package var description: String {
        switch self {
        case .pathTooLong(let path): "the socket's path is too long for a unix socket: \(path)"
        case .refused(let path, let reason): "cannot listen on \(path): \(reason)"
        case .address(let address, let reason):
            "cannot listen for watchers on \(address): \(reason); choose another with --link-listen HOST:PORT"
        }
    }
}

/// The secret by which a watcher shows which replica it belongs to: 128 random bits. It is given to one process and
/// valid for one link, or to all replicas of a Docker service and valid for a link each. A value.
package struct LinkToken: Sendable, Hashable {
    package let text: String

    package init() {
        var generator = SystemRandomNumberGenerator()
        let digits = (0..<4).map { _ in
            let word = String(UInt32.random(in: .min ... .max, using: &generator), radix: 16)
            return String(repeating: "0", count: 8 - word.count) + word
        }
        text = digits.joined()
    }

    /// A token that was stored.
    package init(text: String) {
        self.text = text
    }
}
