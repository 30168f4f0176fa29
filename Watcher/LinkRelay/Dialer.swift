import CLinux
import Glibc
import WatcherLink

/// Dials one gateway. A name may have several addresses; the first that answers is used.
struct Dialer {
    /// The time for one address: to connect, and to get the gateway's first frame.
    private static let attemptSeconds = 5
    /// The time for a gateway's Welcome, after the watcher has proved the token. A gateway keeps such a link for up to
    /// 60 s.
    private static let welcomeSeconds = 65

    let address: RelayAddress
    let token: String
    let task: String
    /// Finds the addresses of a name, as text.
    let resolve: @Sendable (String) -> [String]

    /// A link to a gateway; both ends have proved the token.
    struct Link {
        let descriptor: Int32
        let reader: FrameReader
        var welcome: Welcome
        /// The function's settings.
        var settings: [UInt8]
    }

    /// Resolves the name, connects, and waits for the gateway's Welcome.
    ///
    /// - Parameters:
    ///   - hello: the watcher's Hello.
    ///   - onConnection: called with each descriptor, so that another thread can end the wait with `shutdown`, and with
    ///     -1 before the descriptor is closed.
    func dial(_ hello: Hello, onConnection: (Int32) -> Void) throws(RelayError) -> Link {
        var failure = RelayError(reason: "no address")
        for candidate in try candidates() {
            let descriptor = socket(candidate.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { throw RelayError(errno) }
            onConnection(descriptor)
            do throws(RelayError) {
                limit(descriptor, seconds: Self.attemptSeconds)
                try connect(descriptor, candidate)
                return try greet(descriptor, hello)
            } catch {
                failure = error
                onConnection(-1)
                close(descriptor)
            }
        }
        throw failure
    }

    private func candidates() throws(RelayError) -> [SocketAddress] {
        if let own = SocketAddress(address.host, address.port) { return [own] }
        let found = resolve(address.host).compactMap { SocketAddress($0, address.port) }
        guard !found.isEmpty else { throw RelayError(reason: "its name is not known") }
        return found
    }

    /// Sets the time limit of sends and receives. The limit of sends applies to `connect` too.
    private func limit(_ descriptor: Int32, seconds: Int) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_SNDTIMEO, SO_RCVTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    private func connect(_ descriptor: Int32, _ candidate: SocketAddress) throws(RelayError) {
        let result = candidate.bytes.withUnsafeBytes { bytes in
            bytes.baseAddress.map {
                Glibc.connect(descriptor, $0.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
            }
        }
        guard result == 0 else { throw RelayError(errno == EINPROGRESS ? ETIMEDOUT : errno) }
        dcf_tcp_set_keepalive(descriptor)
    }

    private func greet(_ descriptor: Int32, _ hello: Hello) throws(RelayError) -> Link {
        do throws(LinkError) {
            let reader = FrameReader(descriptor: descriptor)
            let nonce = try frame(.challenge, reader) { (head) throws(LinkError) in try Challenge(head: head).nonce }
            var hello = hello
            let proof = Hello.Proof(
                task: task, code: LinkProof.ofWatcher(token: token, nonce: nonce, task: task), nonce: LinkProof.nonce())
            (hello.token, hello.proof) = ("", proof)
            send(FrameHeader.frame(.hello, head: hello.head), descriptor)
            limit(descriptor, seconds: Self.welcomeSeconds)
            var settings: [UInt8] = []
            let welcome = try frame(.welcome, reader, payload: &settings) { (head) throws(LinkError) in
                try Welcome(head: head)
            }
            guard HMAC.isEqual(welcome.proof, LinkProof.ofGateway(token: token, nonce: proof.nonce)) else {
                throw .unexpected(.welcome, "does not prove the token: this is not the function's gateway")
            }
            reader.maxBodyLength = Int(clamping: welcome.maxBodyLength)
            limit(descriptor, seconds: 0)
            return Link(descriptor: descriptor, reader: reader, welcome: welcome, settings: settings)
        } catch {
            throw RelayError(reason: error.description)
        }
    }

    private func frame<Result>(
        _ kind: FrameKind, _ reader: FrameReader, _ body: (UnsafeRawBufferPointer) throws(LinkError) -> Result
    ) throws(LinkError) -> Result {
        var payload: [UInt8] = []
        return try frame(kind, reader, payload: &payload, body)
    }

    private func frame<Result>(
        _ kind: FrameKind, _ reader: FrameReader, payload: inout [UInt8],
        _ body: (UnsafeRawBufferPointer) throws(LinkError) -> Result
    ) throws(LinkError) -> Result {
        guard let frame = try reader.next() else { throw .unexpected(kind, "did not come: the link was closed") }
        guard Frame.header(of: frame).kind == kind.rawValue else {
            throw .unexpected(kind, "was expected, but frame \(Frame.header(of: frame).kind) came")
        }
        payload = Frame.payload(of: frame)
        return try Frame.withHead(of: frame, body)
    }

    /// Sends a few hundred bytes. If that fails, the gateway's answer does not come.
    private func send(_ frame: [UInt8], _ descriptor: Int32) {
        _ = frame.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }
}

/// An address in the form that system calls take.
private struct SocketAddress {
    let family: Int32
    let bytes: [UInt8]

    /// - Parameter text: an IPv4 or IPv6 address; nil for a name.
    init?(_ text: String, _ port: UInt16) {
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if inet_pton(AF_INET, text, &four.sin_addr) == 1 {
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = port.bigEndian
            (family, bytes) = (AF_INET, withUnsafeBytes(of: &four) { Array($0) })
        } else if inet_pton(AF_INET6, text, &six.sin6_addr) == 1 {
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            (family, bytes) = (AF_INET6, withUnsafeBytes(of: &six) { Array($0) })
        } else {
            return nil
        }
    }
}
