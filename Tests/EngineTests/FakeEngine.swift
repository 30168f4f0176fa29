import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A fake engine: it answers at a socket like one release of Docker, as far as the version of the API matters.
final class FakeEngine: Sendable {
    struct Release: Sendable {
        var name: String
        var api: String
        var apiMin: String
    }

    private struct State {
        var release: Release
        /// The requests so far, such as `GET /v1.41/info`.
        var asked: [String] = []
        /// If set, every answer is status 500 with this message.
        var failure: String?
        /// Whether the connection closes after the next request, unless that asks for the version.
        var closesBeforeAnswering = false
    }

    let path: String
    private let folder: URL
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let channel: any Channel
    private let state: Box

    private final class Box: Sendable {
        let value: Mutex<State>
        init(_ state: State) { value = Mutex(state) }
    }

    init(_ release: Release) async throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("dcf-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.appendingPathComponent("d.sock").path
        let box = Box(State(release: release))
        state = box
        channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(answer: { Self.answer($0, $1, box.value) }))
                }
            }
            .bind(unixDomainSocketPath: path).get()
    }

    func end() async throws {
        try await channel.close()
        try await group.shutdownGracefully()
        try FileManager.default.removeItem(at: folder)
    }

    /// Answers like another release from now on, as after an update of the engine.
    func update(to release: Release) {
        state.value.withLock { $0.release = release }
    }

    func fail(_ words: String?) {
        state.value.withLock { $0.failure = words }
    }

    /// Closes the connection instead of answering from now on.
    func closeBeforeAnswering() {
        state.value.withLock { $0.closesBeforeAnswering = true }
    }

    var asked: [String] { state.value.withLock { $0.asked } }

    private static func answer(
        _ method: HTTPMethod, _ uri: String, _ state: borrowing Mutex<State>
    ) -> (HTTPResponseStatus, server: String, String)? {
        let (release, failure, ends) = state.withLock { state in
            state.asked.append("\(method) \(uri.prefix { $0 != "?" })")
            return (state.release, state.failure, state.closesBeforeAnswering)
        }
        let server = "Docker/\(release.name) (linux)"
        func refuse(_ status: HTTPResponseStatus, _ words: String) -> (HTTPResponseStatus, server: String, String) {
            (status, server, "{\"message\":\"\(words)\"}\n")
        }
        let path = uri.prefix { $0 != "?" }
        if path == "/version" {
            let text =
                "{\"Version\":\"\(release.name)\",\"ApiVersion\":\"\(release.api)\",\"MinAPIVersion\":\"\(release.apiMin)\"}"
            return (.ok, server, text)
        }
        if ends { return nil }
        guard path.hasPrefix("/v"), let version = number(path.dropFirst(2).prefix { $0 != "/" }),
            let oldest = number(release.apiMin), let newest = number(release.api)
        else { return refuse(.notFound, "page not found") }
        let told = path.dropFirst(2).prefix { $0 != "/" }
        guard version >= oldest else {
            return refuse(
                .badRequest,
                "client version \(told) is too old. Minimum supported API version is \(release.apiMin), "
                    + "please upgrade your client to a newer version")
        }
        guard version <= newest else {
            return refuse(
                .badRequest, "client version \(told) is too new. Maximum supported API version is \(release.api)")
        }
        if let failure { return refuse(.internalServerError, failure) }
        return (.ok, server, content(of: path.drop { $0 == "/" }.drop { $0 != "/" }, version))
    }

    /// The content of answers. Newer versions leave some fields out.
    private static func content(of path: Substring, _ version: Int) -> String {
        switch path {
        case "/info":
            return #"{"ServerVersion":"1","Architecture":"x86_64","NCPU":2,"MemTotal":1024,"Swarm":{"NodeAddr":""}}"#
        case "/containers/create": return #"{"Id":"abc","Warnings":[]}"#
        case "/containers/abc/json":
            return
                #"{"State":{"Running":false,"Pid":0,"OOMKilled":false,"ExitCode":3},"Mounts":[{"Type":"volume","#
                + #""Source":"/var/lib/docker/volumes/dcf/_data","Destination":"/var/lib/dcf"},{"Type":"tmpfs","Source":"","#
                + #""Destination":"/tmp"}]}"#
        case "/containers/json":
            return #"[{"Id":"abc","Names":["/one"],"Image":"i","State":"running","Labels":null}]"#
        case "/images/json":
            // From 1.43 on, an image without a name has an empty list.
            let tags = version < 143 ? #"["<none>:<none>"]"# : "[]"
            return #"[{"Id":"sha256:1","RepoTags":\#(tags),"RepoDigests":null}]"#
        case "/images/f/json":
            let config = version < 152 ? #"{"User":"","Env":null,"Labels":null,"Hostname":""}"# : "{}"
            let old = version < 144 ? #","VirtualSize":5,"Parent":"","DockerVersion":"""# : ""
            return #"{"Id":"sha256:1","Architecture":"amd64","Os":"linux","Config":\#(config)\#(old),"Size":5}"#
        case "/images/create":
            // From 1.48 on, there is no text in "error" and "progress".
            let progress = version < 148 ? #","progress":"[=>  ] 1MB/2MB""# : ""
            return
                #"{"status":"Downloading","id":"l","progressDetail":{"current":1000000,"total":2000000}\#(progress)}"#
                + "\n"
        default: return "{}"
        }
    }

    private static func number(_ text: some StringProtocol) -> Int? {
        let parts = text.split(separator: ".").compactMap { Int($0) }
        return parts.count == 2 ? parts[0] * 100 + parts[1] : nil
    }
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answer: (HTTPMethod, String) -> (HTTPResponseStatus, server: String, String)?
    private var head: HTTPRequestHead?

    init(answer: @escaping (HTTPMethod, String) -> (HTTPResponseStatus, server: String, String)?) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head else { return }
            guard let (status, server, text) = answer(head.method, head.uri) else {
                context.close(promise: nil)
                return
            }
            let body = ByteBuffer(string: text)
            let headers: HTTPHeaders = ["content-length": "\(body.readableBytes)", "server": server]
            context.write(
                wrapOutboundOut(.head(.init(version: .http1_1, status: status, headers: headers))), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
