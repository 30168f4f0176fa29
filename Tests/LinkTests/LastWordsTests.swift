@testable import Link
import Calls
import Logging
import Platform
import Synchronization
import TestSupport
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

        func linkEnded(_ link: ReplicaLink, _ end: LinkEnd) {
            told.withLock { $0.append("ended") }
        }
    }

    @Test func whatAReplicaSaidBeforeItEndedIsReadWhenAskedFor() async throws {
        let folder = try TemporaryFolder()
        let calls = CallPlane(
            maxInputBytes: 1 << 20, maxMetadataBytes: 8 << 10, chainDepth: 8, queuedBytes: 1 << 20)
        let links = try LinkServer(
            path: "\(folder.path)/link", containerPath: "\(folder.path)/containers", maxBodyBytes: 1 << 20,
            invoker: calls.invoker, logger: Logger(label: "test"))
        let observer = Observer()
        let token = LinkToken()
        links.expect(token, for: observer)
        let handler = try FakeHandler(
            path: links.path, token: token.text, failure: Failed(stage: .constructor, summary: "no model"))
        handler.stop()
        // All of this is sent before the gateway reads it.
        links.start()
        await links.readAll(of: observer)
        #expect(observer.told.withLock { $0 } == ["no model", "ended"])
        links.stop()
    }
}
