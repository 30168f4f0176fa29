import Calls
import Glibc
import Logging
import Platform
import Synchronization
import TestSupport
import Testing
import WatcherLink

@testable import Link

/// Links over TCP, seen from the gateway; no function is called.
@Suite struct LinkServerTests {
    /// Keeps the events of a link.
    private final class Observer: ReplicaLinkObserver {
        let settings = Array("{}".utf8)
        let known = Promise<ReplicaLink>()
        let ready = Promise<ReplicaLink>()
        let ended = Promise<LinkEnd>()

        func linkIsKnown(_ link: ReplicaLink) { known.settle(link) }
        func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64) { ready.settle(link) }
        func linkFailed(_ failed: Failed, traceback: String) {}
        func linkEnded(_ link: ReplicaLink, _ end: LinkEnd) { ended.settle(end) }
    }

    /// Counts lines.
    private struct Lines: LogHandler {
        let count: Count
        var metadata = Logger.Metadata()
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { count.value.add(1, ordering: .relaxed) }
    }

    private final class Count: Sendable {
        let value = Atomic<Int>(0)
    }

    private let lines = Count()

    private func withServer(_ body: (LinkServer, UInt16) async throws -> Void) async throws {
        let folder = try TemporaryFolder()
        let calls = CallPlane(
            maxInputBytes: 1 << 20, maxMetadataBytes: 8 << 10, chainDepth: 8, queuedBytes: 1 << 20)
        let logger = Logger(label: "test") { _ in Lines(count: lines) }
        let links = try LinkServer(
            path: "\(folder.path)/link", containerPath: "\(folder.path)/link.docker",
            tcp: HostAddress(host: "127.0.0.1", port: 0), maxBodyBytes: 1 << 20, invoker: calls.invoker, logger: logger)
        links.start()
        defer { links.stop() }
        try await body(links, try #require(links.tcpPort))
    }

    @Test func bothProveTheToken() async throws {
        try await withServer { links, port in
            let (token, observer) = (LinkToken(), Observer())
            links.open(token)
            links.expect(token, for: observer)
            let watcher = RemoteWatcher(port: port)
            let nonce = LinkProof.nonce()
            watcher.greet(token.text, task: "task-1", nonce: nonce)
            let welcome = try #require(watcher.welcome())
            #expect(welcome.proof == LinkProof.ofGateway(token: token.text, nonce: nonce))
            let link = try #require(await observer.known.value())
            #expect(link.task == "task-1" && link.isRemote && link.pid == 7)
            watcher.write(.ready, head: Ready(constructorMicros: 1).head)
            _ = await observer.ready.value()
            link.end("the task is not wanted")
            #expect(watcher.read() == nil)
            #expect(await observer.ended.value() == .byGateway("the task is not wanted"))
        }
    }

    /// Tests/Watcher tries, from the watcher's side and with a real cut, what the kernel does with these options.
    @Test func aPeerThatVanishesWillBeNoticed() async throws {
        try await withServer { links, port in
            let (token, observer) = (LinkToken(), Observer())
            links.open(token)
            links.expect(token, for: observer)
            let watcher = RemoteWatcher(port: port)
            watcher.greet(token.text)
            #expect(watcher.welcome() != nil)
            let descriptor = try #require(await observer.known.value()).descriptor
            let option = { (level: Int, name: Int32) in
                var value: Int32 = 0
                var length = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, Int32(level), name, &value, &length)
                return value
            }
            #expect(option(Int(SOL_SOCKET), SO_KEEPALIVE) == 1)
            let ofTCP = [TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT]
            #expect(ofTCP.map { option(Int(IPPROTO_TCP), $0) } == [1, 1, 1, 3, 3_000])
        }
    }

    @Test func aWrongProofIsTheEndOfThatConnectionOnly() async throws {
        try await withServer { links, port in
            let (token, observer) = (LinkToken(), Observer())
            links.open(token)
            links.expect(token, for: observer)
            let good = RemoteWatcher(port: port)
            let wrong = RemoteWatcher(port: port)
            wrong.greet(LinkToken().text)
            #expect(wrong.read() == nil)
            // A watcher that sends the token itself is refused as well.
            let plain = RemoteWatcher(port: port)
            _ = plain.challenge()
            let hello = Hello(versions: LinkVersion.supported, pid: 1, token: token.text, pythonVersion: "")
            plain.write(.hello, head: hello.head)
            #expect(plain.read() == nil)
            // So is a watcher that names another task than the proof does.
            let other = RemoteWatcher(port: port)
            var changed = RemoteWatcher.hello(token.text, task: "a", challenge: try #require(other.challenge()))
            changed.proof?.task = "b"
            other.write(.hello, head: changed.head)
            #expect(other.read() == nil)
            good.greet(token.text)
            #expect(good.welcome() != nil)
        }
    }

    @Test func aProofIsGoodForOneConnection() async throws {
        try await withServer { links, port in
            let token = LinkToken()
            links.open(token)
            let observers = [Observer(), Observer()]
            for observer in observers { links.expect(token, for: observer) }
            let first = RemoteWatcher(port: port)
            let hello = RemoteWatcher.hello(token.text, task: "a", challenge: try #require(first.challenge()))
            first.write(.hello, head: hello.head)
            #expect(first.welcome() != nil)
            let second = RemoteWatcher(port: port)
            #expect(second.challenge() != nil)
            second.write(.hello, head: hello.head)
            #expect(second.read() == nil)
        }
    }

    @Test func aTokenOfOneProcessIsNotGoodOverTCP() async throws {
        try await withServer { links, port in
            let (token, observer) = (LinkToken(), Observer())
            links.expect(token, for: observer)
            let watcher = RemoteWatcher(port: port)
            watcher.greet(token.text)
            #expect(watcher.read() == nil)
        }
    }

    @Test func whoHasWaitedLongestGetsTheNextLink() async throws {
        try await withServer { links, port in
            let token = LinkToken()
            links.open(token)
            let observers = (0..<3).map { _ in Observer() }
            for observer in observers { links.expect(token, for: observer) }
            links.forget(token, for: observers[1])
            var watchers: [RemoteWatcher] = []
            for (number, observer) in [observers[0], observers[2]].enumerated() {
                let watcher = RemoteWatcher(port: port)
                watcher.greet(token.text, task: "\(number)")
                #expect(watcher.welcome() != nil)
                #expect(await observer.known.value()?.task == "\(number)")
                watchers.append(watcher)
            }
        }
    }

    @Test func aLinkThatNobodyExpectsWaits() async throws {
        try await withServer { links, port in
            let (token, observer) = (LinkToken(), Observer())
            links.open(token)
            let watchers = (0..<3).map { _ in RemoteWatcher(port: port) }
            for (number, watcher) in watchers.enumerated() { watcher.greet(token.text, task: "\(number)") }
            links.expect(token, for: observer)
            let task = try #require(await observer.known.value()).task
            let number = try #require(Int(task))
            #expect(watchers[number].welcome() != nil)
            links.close(token)
            for (other, watcher) in watchers.enumerated() where other != number { #expect(watcher.read() == nil) }
            // A link that has an observer goes on.
            watchers[number].write(.ready, head: Ready(constructorMicros: 1).head)
            _ = await observer.ready.value()
        }
    }

    @Test func aStrangerMayNotSendMuch() async throws {
        try await withServer { links, port in
            for bytes in [[UInt8](repeating: 0xFF, count: 64), Array("GET / HTTP/1.1\r\nHost: gateway\r\n\r\n".utf8)] {
                let watcher = RemoteWatcher(port: port)
                #expect(watcher.challenge() != nil)
                watcher.write(bytes: bytes)
                #expect(watcher.read() == nil)
            }
            // This length is allowed after the token. Here the frame is refused before its body comes.
            let watcher = RemoteWatcher(port: port)
            #expect(watcher.challenge() != nil)
            watcher.write(bytes: FrameHeader(kind: .hello, headLength: 100, payloadLength: 4 << 10).bytes)
            #expect(watcher.read() == nil)
        }
    }

    @Test func silentConnectionsKeepNobodyOut() async throws {
        try await withServer { links, port in
            let (token, observer) = (LinkToken(), Observer())
            links.open(token)
            links.expect(token, for: observer)
            let silent = (0..<300).map { _ in RemoteWatcher(port: port) }
            let watcher = RemoteWatcher(port: port)
            watcher.greet(token.text)
            #expect(watcher.welcome() != nil)
            // The connection that was silent for longest was closed for the last one.
            #expect(silent[0].challenge() != nil)
            #expect(silent[0].read() == nil)
            let last = silent[299]
            #expect(last.greet(LinkToken().text))
            #expect(last.read() == nil)
            // At most one line a second is logged.
            #expect((1...20).contains(lines.value.load(ordering: .relaxed)))
        }
    }
}
