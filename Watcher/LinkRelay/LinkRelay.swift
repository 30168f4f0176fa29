import CLinux
import Glibc
import WatcherLink

/// Connects one watcher to several gateways: each gateway has a link to this relay, and the watcher has one.
///
/// One thread reads the watcher's link. For each gateway, one thread dials it and reads its link, and dials again when
/// the link ends, as long as the watcher lives. A frame is handled under one lock, and the frames that come of it are
/// queued under the same lock, so all links see one order. No thread blocks under the lock.
///
/// Sendable: the condition's lock guards all that changes; everything else is set in `init`.
package final class LinkRelay: @unchecked Sendable {
    /// The gateways to dial, and the task's proof of identity.
    package struct Configuration: Sendable {
        package var gateways: [RelayAddress]
        package var token: String
        package var task: String
        /// How long the task waits for the first gateway to answer, in seconds.
        package var firstPatience: Int
        /// How long the task goes on after the link to the last gateway has ended, in seconds.
        package var patience: Int

        package init(gateways: [RelayAddress], token: String, task: String, firstPatience: Int = 60, patience: Int = 30)
        {
            self.gateways = gateways
            self.token = token
            self.task = task
            self.firstPatience = firstPatience
            self.patience = patience
        }
    }

    private static let firstPauseNanos: Int64 = 50_000_000
    private static let lastPauseNanos: Int64 = 1_000_000_000

    private let configuration: Configuration
    private let watcher: Int32
    private let toWatcher: FrameWriter
    private let resolve: @Sendable (String) -> [String]
    private let complain: @Sendable (String) -> Void
    private let condition = Condition()

    // Under the condition's lock.
    private var table = RelayTable()
    private var links: [Int: FrameWriter] = [:]
    /// The connections by gateway's number; shut down at the end.
    private var connections: [Int: Int32] = [:]
    private var hello: Hello?
    private var isWelcome = false
    private var isOver = false
    /// Why a gateway has no link, by gateway's number.
    private var reasons: [Int: String] = [:]
    /// Since when no gateway has a link, on the monotonic clock; 0 while one has.
    private var withoutGatewaySinceNanos = dcf_monotonic_nanoseconds()

    /// - Parameters:
    ///   - watcher: the relay's end of the watcher's link.
    ///   - resolve: finds the addresses of a name; may block.
    ///   - complain: gets a line for the log, on any thread.
    package init(
        _ configuration: Configuration, watcher: Int32, resolve: @escaping @Sendable (String) -> [String],
        complain: @escaping @Sendable (String) -> Void
    ) {
        self.configuration = configuration
        self.watcher = watcher
        self.resolve = resolve
        self.complain = complain
        toWatcher = FrameWriter(descriptor: watcher)
    }

    /// Starts the threads. They end when the watcher's link ends.
    package func start() {
        startThread { $0.toWatcher.run() }
        startThread { $0.readWatcher() }
        for number in configuration.gateways.indices { startThread { $0.keepLink(number) } }
    }

    /// After the watcher's end: waits until its last frames are written to the gateways, or the time is up.
    package func finish(seconds: Int) {
        let end = dcf_monotonic_nanoseconds() + Int64(seconds) * 1_000_000_000
        let writers = condition.withLock { () -> [FrameWriter] in
            while !isOver, condition.wait(untilNanos: end) {}
            return Array(links.values)
        }
        for writer in writers { writer.drain(untilNanos: end) }
        condition.withLock {
            for descriptor in connections.values { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    private func startThread(_ work: @escaping @Sendable (LinkRelay) -> Void) {
        RelayThread.start { work(self) }
    }

    // MARK: The watcher

    private func readWatcher() {
        let reader = FrameReader(descriptor: watcher)
        do throws(LinkError) {
            if let frame = try reader.next() {
                let first = try Frame.withHead(of: frame) { (head) throws(LinkError) in try Hello(head: head) }
                condition.withLock {
                    hello = first
                    condition.announce()
                }
                reader.maxBodyLength = .max / 2
                while let frame = try reader.next() {
                    try perform { (table) throws(LinkError) in try table.handle(frame) }
                }
            }
        } catch {
            complain("the watcher broke the link: \(error)")
        }
        condition.withLock {
            isOver = true
            condition.announce()
        }
        toWatcher.close()
    }

    /// Ends the watcher's link, and so the watcher.
    private func end() {
        shutdown(watcher, Int32(SHUT_RDWR))
    }

    private func perform(
        _ step: (inout RelayTable) throws(LinkError) -> [RelayTable.Action]
    ) throws(LinkError) {
        var failure: LinkError?
        condition.withLock {
            do throws(LinkError) { perform(try step(&table)) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Called under the lock.
    private func perform(_ actions: [RelayTable.Action]) {
        for action in actions {
            switch action {
            case .toWatcher(let frame): toWatcher.send(frame)
            case .toGateway(let number, let frame): links[number]?.send(frame)
            case .stop: end()
            }
        }
    }

    // MARK: Gateways

    private func keepLink(_ number: Int) {
        let address = configuration.gateways[number]
        let dialer = Dialer(address: address, token: configuration.token, task: configuration.task, resolve: resolve)
        guard let hello = waitForHello() else { return }
        var pause = Self.firstPauseNanos
        while !condition.withLock({ isOver }) {
            do throws(RelayError) {
                let link = try dialer.dial(hello) { descriptor in note(descriptor, number) }
                pause = Self.firstPauseNanos
                serve(link, number)
            } catch {
                condition.withLock { reasons[number] = error.reason }
            }
            guard rest(pause) else { return }
            pause = min(2 * pause, Self.lastPauseNanos)
        }
    }

    private func waitForHello() -> Hello? {
        condition.withLock {
            while hello == nil && !isOver { condition.wait() }
            return hello
        }
    }

    private func note(_ descriptor: Int32, _ number: Int) {
        condition.withLock {
            connections[number] = descriptor < 0 ? nil : descriptor
            if isOver && descriptor >= 0 { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    private func serve(_ link: Dialer.Link, _ number: Int) {
        let writer = FrameWriter(descriptor: link.descriptor)
        let thread = RelayThread.start { writer.run() }
        condition.withLock {
            (links[number], reasons[number], withoutGatewaySinceNanos) = (writer, nil, 0)
            if !isWelcome {
                isWelcome = true
                let welcome = Welcome(version: link.welcome.version, maxBodyLength: link.welcome.maxBodyLength)
                toWatcher.send(FrameHeader.frame(.welcome, head: welcome.head, payload: link.settings))
            }
            perform(table.join(number))
        }
        read(link.reader, number)
        condition.withLock {
            links[number] = nil
            connections[number] = nil
            perform(table.lose(number))
            if links.isEmpty { withoutGatewaySinceNanos = dcf_monotonic_nanoseconds() }
        }
        writer.close()
        shutdown(link.descriptor, Int32(SHUT_RDWR))
        thread.join()
        close(link.descriptor)
    }

    private func read(_ reader: FrameReader, _ number: Int) {
        do throws(LinkError) {
            while let frame = try reader.next() {
                try perform { (table) throws(LinkError) in try table.handle(frame, from: number) }
            }
        } catch {
            complain("\(configuration.gateways[number]): \(error)")
        }
    }

    /// Pauses before the next attempt. Ends the watcher when there has been no gateway for too long.
    ///
    /// - Returns: false when the watcher has ended.
    private func rest(_ nanos: Int64) -> Bool {
        let now = dcf_monotonic_nanoseconds()
        let isTooLong = condition.withLock { () -> Bool in
            while !isOver, condition.wait(untilNanos: now + nanos) {}
            guard !isOver, withoutGatewaySinceNanos != 0 else { return false }
            let patience = isWelcome ? configuration.patience : configuration.firstPatience
            let elapsed = dcf_monotonic_nanoseconds() - withoutGatewaySinceNanos
            guard elapsed > Int64(patience) * 1_000_000_000 else { return false }
            // Only one thread logs it.
            withoutGatewaySinceNanos = .max / 2
            return true
        }
        if isTooLong {
            let reasons = condition.withLock {
                configuration.gateways.enumerated().map { "\($1): \(self.reasons[$0] ?? "no answer")" }
            }
            complain("no gateway was reached for too long: \(reasons.joined(separator: "; "))")
            end()
        }
        return !condition.withLock { isOver }
    }
}
