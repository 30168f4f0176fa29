import CLinux
import Glibc
import WatcherLink

/// A watcher between several gateways: each has a link of its own with the task, and the watcher has one, with this relay.
///
/// One thread reads the watcher, one a gateway dials it and reads it, for as long as the watcher lives: a gateway that is not there,
/// or goes, is dialled again. A frame is taken and what comes of it is on its way under one lock, so that the order is the same for
/// all; nothing waits under it.
package final class LinkRelay: @unchecked Sendable {
    /// Who is dialled, and how this task shows whose it is.
    package struct Configuration: Sendable {
        package var gateways: [RelayAddress]
        package var token: String
        package var task: String
        /// How long it may take until the first gateway has answered, and how long a task goes on when the last has gone, in seconds.
        package var firstPatience: Int
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
    /// Connections by gateway, to be shut down at the end.
    private var connections: [Int: Int32] = [:]
    private var hello: Hello?
    private var isWelcome = false
    private var isOver = false
    /// Why each gateway has no link.
    private var reasons: [Int: String] = [:]
    /// Since when there is no gateway; 0 while there is one.
    private var lonelyNanos = dcf_monotonic_nanoseconds()

    /// - Parameters:
    ///   - watcher: the relay's end of the watcher's link.
    ///   - resolve: finds the addresses of a name; may take its time.
    ///   - complain: gets a line for the log, from any thread.
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

    /// Starts its threads; they end when the watcher does.
    package func start() {
        startThread { $0.toWatcher.run() }
        startThread { $0.readWatcher() }
        for number in configuration.gateways.indices { startThread { $0.keepLink(number) } }
    }

    /// After the watcher's end: returns when all that it said is passed on, or the time is up.
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
                    try perform { (table) throws(LinkError) in try table.take(frame) }
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

    /// The watcher's link ends, and with it the watcher.
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

    /// Under the lock.
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
            (links[number], reasons[number], lonelyNanos) = (writer, nil, 0)
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
            if links.isEmpty { lonelyNanos = dcf_monotonic_nanoseconds() }
        }
        writer.close()
        shutdown(link.descriptor, Int32(SHUT_RDWR))
        thread.join()
        close(link.descriptor)
    }

    private func read(_ reader: FrameReader, _ number: Int) {
        do throws(LinkError) {
            while let frame = try reader.next() {
                try perform { (table) throws(LinkError) in try table.take(frame, from: number) }
            }
        } catch {
            complain("\(configuration.gateways[number]): \(error)")
        }
    }

    /// - Returns: false at the end.
    private func rest(_ nanos: Int64) -> Bool {
        let now = dcf_monotonic_nanoseconds()
        let isAlone = condition.withLock { () -> Bool in
            while !isOver, condition.wait(untilNanos: now + nanos) {}
            guard !isOver, lonelyNanos != 0 else { return false }
            let patience = isWelcome ? configuration.patience : configuration.firstPatience
            guard dcf_monotonic_nanoseconds() - lonelyNanos > Int64(patience) * 1_000_000_000 else { return false }
            // Said once.
            lonelyNanos = .max / 2
            return true
        }
        if isAlone {
            let reasons = condition.withLock {
                configuration.gateways.enumerated().map { "\($1): \(self.reasons[$0] ?? "no answer")" }
            }
            complain("no gateway was reached for too long: \(reasons.joined(separator: "; "))")
            end()
        }
        return !condition.withLock { isOver }
    }
}
