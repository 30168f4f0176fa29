import Glibc
import LinkRelay
import WatcherLink

/// The relay of a task that several gateways share: if `DCF_LINK` is a list, the replica's link goes to this process.
struct ContainerRelay {
    /// How long the replica's last frames may take to reach the gateways.
    private static let lastSeconds = 2
    private static let tokenBytesMax = 4_096

    private let relay: LinkRelay
    /// The replica's end of its link. This process closes it once the replica has started.
    private let replicaEnd: Int32

    /// Nil if there is one gateway. Otherwise sets `DCF_LINK` for the replica.
    ///
    /// - Parameter python: the image's interpreter.
    static func make(python: String) throws(LaunchError) -> ContainerRelay? {
        guard let list = Environment[WatcherVariables.link], list.contains(",") else { return nil }
        guard let gateways = RelayAddress.list(list), !gateways.isEmpty else {
            throw .relay("\(WatcherVariables.link): \"\(list)\" is not a list of tcp:HOST:PORT")
        }
        var configuration = LinkRelay.Configuration(
            gateways: gateways, token: try token(), task: Environment[WatcherVariables.task] ?? "")
        if let text = Environment[WatcherVariables.returnSeconds], let seconds = Int(text) {
            configuration.patience = seconds
        }
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
            throw .relay("no socket: \(String(cString: strerror(errno)))")
        }
        // The replica inherits its own end only.
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        setenv(WatcherVariables.link, "fd:\(ends[1])", 1)
        let resolver = NameResolver(python: python)
        let relay = LinkRelay(configuration, watcher: ends[0], resolve: { resolver.addresses(of: $0) }) { reason in
            let line = Array("dcf-watcher: \(reason)\n".utf8)
            _ = write(2, line, line.count)
        }
        return ContainerRelay(relay: relay, replicaEnd: ends[1])
    }

    /// Starts the relay's threads. Called after the replica has started, with all signals blocked, so that the threads
    /// block them too.
    func start() {
        close(replicaEnd)
        relay.start()
    }

    /// Waits until the replica's last frames are passed on, or ``lastSeconds`` have passed.
    func finish() {
        relay.finish(seconds: Self.lastSeconds)
    }

    private static func token() throws(LaunchError) -> String {
        if let token = Environment[WatcherVariables.token] { return token }
        guard let path = Environment[WatcherVariables.tokenFile] else { return "" }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            let reason = String(cString: strerror(errno))
            throw .relay("\(WatcherVariables.tokenFile): \(path) cannot be read: \(reason)")
        }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: tokenBytesMax)
        let count = max(0, read(file, &bytes, bytes.count))
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        var text = bytes.prefix(count).drop(while: isSpace)
        while let last = text.last, isSpace(last) { text.removeLast() }
        return String(decoding: text, as: UTF8.self)
    }
}
