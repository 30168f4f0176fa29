@testable import Gateway
import GRPC
import Logging
import Synchronization
import Testing
import WatcherLink

@Suite struct LastWordsTests {
    private final class Observer: ReplicaLinkObserver {
        let settings = Array("{}".utf8)
        let told = Mutex<[String]>([])

        func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64) {
            told.withLock { $0.append("ready") }
        }

        func linkFailed(_ failed: Failed, traceback: String) {
            told.withLock { $0.append(failed.summary) }
        }

        func linkEnded(_ link: ReplicaLink, reason: String) {
            told.withLock { $0.append("ended") }
        }
    }

    @Test func whatAReplicaSaidBeforeItEndedIsReadWhenAskedFor() async throws {
        let folder = try TemporaryFolder()
        let context = RouteContext(queuedBytes: QueuedBytes(limit: 1 << 20), busy: BusyRoutes())
        let calls = CompletionQueue(name: "calls", threads: 0)
        let invoker = Invoker(
            routes: RouteTable(), sweeper: Sweeper(busy: context.busy, calls: calls), maxInputBytes: 1 << 20,
            maxMetadataBytes: 8 << 10, chainDepth: 8)
        let links = try LinkServer(
            path: "\(folder.path)/link", containerPath: "\(folder.path)/containers", maxBodyBytes: 1 << 20,
            invoker: invoker, logger: Logger(label: "test"))
        let observer = Observer()
        let token = LinkToken()
        links.expect(token, for: observer)
        let handler = try FakeHandler(
            path: links.path, token: token.text, failure: Failed(stage: .constructor, summary: "no model"))
        handler.stop()
        // It has said all that before anybody looks.
        links.start()
        await links.readAll(of: observer)
        #expect(observer.told.withLock { $0 } == ["no model", "ended"])
        links.stop()
        calls.shutdown()
    }
}
