import Glibc
import Logging
import Platform
import Synchronization
import Testing

@testable import ControlPlane

@Suite struct WatchdogTests {
    /// Keeps the lines that are logged, and yields each to the stream `came`.
    private final class Lines: Sendable {
        private let all = Mutex<[String]>([])
        let came: AsyncStream<String>
        private let feed: AsyncStream<String>.Continuation

        init() { (came, feed) = AsyncStream.makeStream(of: String.self) }

        func add(_ line: String) {
            all.withLock { $0.append(line) }
            feed.yield(line)
        }

        var text: String { all.withLock { $0.joined(separator: "\n") } }
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var logLevel = Logger.Level.trace
        var metadata = Logger.Metadata()
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.add("\(event.level) \(event.message)") }
    }

    @Test func whatComesRoundOrWaitsHasNotStalled() {
        let heartbeat = Heartbeat("a thread")
        var subject = Watchdog.Subject(heartbeat)
        var changes: [Watchdog.Subject.Change?] = []
        for _ in 0..<10 {
            changes.append(subject.look(atMost: 3))
            heartbeat.begin()
            changes.append(subject.look(atMost: 3))
            heartbeat.end()
        }
        heartbeat.begin()
        for _ in 0..<10 {
            changes.append(subject.look(atMost: 3))
            heartbeat.beat()
        }
        #expect(changes.allSatisfy { $0 == nil })
    }

    @Test func aStallIsToldOnceAndSoIsItsEnd() {
        let heartbeat = Heartbeat("a thread")
        var subject = Watchdog.Subject(heartbeat)
        heartbeat.begin()
        let first = (0..<9).map { _ in subject.look(atMost: 3) }
        #expect(first == [nil, nil, nil, .stalled, nil, nil, nil, nil, nil])
        #expect(subject.isStalled)
        heartbeat.end()
        let end = subject.look(atMost: 3)
        #expect(end == .moves)
        #expect(!subject.isStalled)
        heartbeat.begin()
        let second = (0..<4).map { _ in subject.look(atMost: 3) }
        #expect(second == [nil, nil, nil, .stalled])
    }

    @Test func aStallWritesTheStacksOfAllThreads() async throws {
        let lines = Lines()
        let heartbeat = Heartbeat("the stuck one")
        let changes = AsyncStream.makeStream(of: Bool.self)
        let holder = Promise<Watchdog>()
        let watchdog = Watchdog(
            limit: .milliseconds(100), heartbeats: [heartbeat, Heartbeat("another")],
            logger: Logger(label: "test") { _ in Handler(lines: lines) }
        ) { changes.continuation.yield(holder.current?.isStalled ?? false) }
        holder.settle(watchdog)
        // The thread stands still until the test releases it.
        let release = Semaphore()
        let isStarted = Thread.detached(name: "test") {
            heartbeat.begin()
            release.wait()
            heartbeat.end()
        }
        #expect(isStarted)
        watchdog.start()
        var told = changes.stream.makeAsyncIterator()
        #expect(await told.next() == true)
        #expect(watchdog.isStalled)
        let text = lines.text
        #expect(text.contains("critical stalled: the stuck one had not moved"))
        #expect(text.contains("watchdog:"))
        #expect(text.contains("Semaphore.wait"))
        release.post()
        #expect(await told.next() == false)
        #expect(!watchdog.isStalled)
        #expect(lines.text.contains("moves again: the stuck one"))
        #expect(lines.text.ranges(of: "critical stalled").count == 1)
        watchdog.stop()
    }
}
