import Glibc
import LinkRelay

/// The relay of a task that several gateways share: where `DCF_LINK` is a list, the replica's link is with this process.
struct ContainerRelay {
    /// How long the replica's last words may take to be passed on.
    private static let lastSeconds = 2
    private static let tokenBytesMax = 4_096

    private let relay: LinkRelay
    /// The replica's end, which this process has no use for once that is started.
    private let far: Int32

    /// Nil where there is one gateway. Sets `DCF_LINK` for the replica.
    ///
    /// - Parameter python: the image's interpreter.
    static func make(python: String) throws(LaunchError) -> ContainerRelay? {
        guard let list = Environment["DCF_LINK"], list.contains(",") else { return nil }
        guard let gateways = RelayAddress.list(list), !gateways.isEmpty else {
            throw .relay("DCF_LINK: \"\(list)\" is not a list of tcp:HOST:PORT")
        }
        var configuration = LinkRelay.Configuration(
            gateways: gateways, token: try token(), task: Environment["DCF_TASK"] ?? "")
        if let text = Environment["DCF_RETURN"], let seconds = Int(text) { configuration.patience = seconds }
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else {
            throw .relay("no socket: \(String(cString: strerror(errno)))")
        }
        // Only one of them is the replica's.
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        setenv("DCF_LINK", "fd:\(ends[1])", 1)
        let resolver = NameResolver(python: python)
        let relay = LinkRelay(configuration, watcher: ends[0], resolve: { resolver.addresses(of: $0) }) { reason in
            let line = Array("dcf-watcher: \(reason)\n".utf8)
            _ = write(2, line, line.count)
        }
        return ContainerRelay(relay: relay, far: ends[1])
    }

    /// After the replica has been started, with all signals blocked.
    func start() {
        close(far)
        relay.start()
    }

    func finish() {
        relay.finish(seconds: Self.lastSeconds)
    }

    private static func token() throws(LaunchError) -> String {
        if let token = Environment["DCF_TOKEN"] { return token }
        guard let path = Environment["DCF_TOKEN_FILE"] else { return "" }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw .relay("DCF_TOKEN_FILE: \(path) cannot be read: \(String(cString: strerror(errno)))")
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
