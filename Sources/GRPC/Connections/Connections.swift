internal import CGRPC
internal import CLinux
internal import CSockets
internal import Glibc
package import Platform
internal import Synchronization

/// All connections of a server's clients: which of them may come, what each may do, and how much memory they hold
/// together.
///
/// The core reads and writes its sockets itself. The program replaces recvmsg, sendmsg and close (`CSockets`), and its
/// versions report to the ``Connection``. Any thread may use it.
package final class Connections: ConnectionCount {
    private struct State {
        var book: AddressBook
        var open: [Int32: Connection] = [:]
    }

    package let limits: ConnectionLimits
    /// The bytes of replies that clients have not read.
    package let replies: ByteBudget
    /// The bytes of messages that have begun to come and are not complete.
    package let inputs: ByteBudget
    private let state: Lock<State>
    private let report: BreachReport
    private let onFreed: @Sendable () -> Void
    package let attention = Wakeup()
    private let isStallCheckRequested = Atomic<Bool>(false)

    /// - Parameters:
    ///   - report: gets a sentence about connections that are closed and why, at most once a second. It must not block.
    ///   - onFreed: called when a connection that held much memory has ended. It must not block.
    package init(
        limits: ConnectionLimits = ConnectionLimits(), report: @escaping @Sendable (String) -> Void = { _ in },
        onFreed: @escaping @Sendable () -> Void = {}
    ) {
        _ = Self.hooksAreSet
        self.limits = limits
        replies = ByteBudget(limit: limits.replyBytes, connectionLimit: limits.replyBytesPerConnection)
        inputs = ByteBudget(limit: limits.inputBytes, connectionLimit: limits.inputBytesPerConnection)
        state = Lock(State(book: AddressBook(connectionsMax: limits.perAddress)))
        self.report = BreachReport(report)
        self.onFreed = onFreed
    }

    private static let hooksAreSet: Void = dcf_sockets_start(
        dcf_socket_hooks(
            received: { connection, pieces, pieceCount, count, hasSent in
                guard let connection = Connections.connection(connection) else { return count }
                let pieces = UnsafeBufferPointer(start: pieces, count: pieceCount)
                return connection.received(pieces, count: count, hasSent: hasSent != 0) ? count : 0
            },
            sent: { connection, pieces, pieceCount, count in
                Connections.connection(connection)?
                    .sent(UnsafeBufferPointer(start: pieces, count: pieceCount), count: count)
            },
            closed: { connection in
                guard let connection else { return }
                Unmanaged<Connection>.fromOpaque(connection).takeRetainedValue().closed()
            }))

    private static func connection(_ pointer: UnsafeMutableRawPointer?) -> Connection? {
        pointer.map { Unmanaged<Connection>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The highest descriptor number that a connection may have.
    private static let descriptorMax = Int32(DCF_SOCKETS_MAX) - 1

    package func open(_ descriptor: Int32) -> Bool {
        guard descriptor <= Self.descriptorMax else { return false }
        let connection = Connection(descriptor: descriptor, address: PeerAddress(of: descriptor), owner: self)
        let admission = state.withLock { state in
            let admission = state.book.admit(connection.address, at: .now)
            if admission == .admitted { state.open[descriptor] = connection }
            return admission
        }
        switch admission {
        case .admitted: dcf_sockets_watch(descriptor, Unmanaged.passRetained(connection).toOpaque())
        case .tooMany:
            report.add("its address has \(limits.perAddress) (connections-per-address)", of: connection.address)
        // This was reported when the refusal began.
        case .refused: break
        }
        return admission == .admitted
    }

    /// The connection of a descriptor that the core has not closed.
    func connection(of descriptor: Int32) -> Connection? {
        state.withLock { $0.open[descriptor] }
    }

    /// Stops counting a connection that the core has closed.
    ///
    /// - Parameter freed: how many bytes it held.
    func closed(_ connection: Connection, freed: Int) {
        state.withLock { state in
            state.book.leave(connection.address)
            if state.open[connection.descriptor] === connection { state.open[connection.descriptor] = nil }
        }
        guard freed >= Self.muchBytes else { return }
        assertNoLockIsHeld()
        onFreed()
    }

    /// A client has broken a limit: closes its connection, and refuses its address for a while.
    func broken(_ breach: FrameBreach, by connection: Connection) {
        connection.end()
        state.withLock { $0.book.refuse(connection.address, at: .now) }
        report.add("\(breach.description) (\(breach.rawValue))", of: connection.address)
    }

    // MARK: Messages that wait

    /// Reserves room for a message of a call that was received and must wait; nil when there is none.
    func reserveRoom(_ bytes: Int, of call: OpaquePointer?) -> InputRoom? {
        guard let connection = connection(of: dcf_call_descriptor(call)) else {
            return InputRoom(bytes: 0, connection: nil)
        }
        return connection.reserveRoom(bytes) ? InputRoom(bytes: bytes, connection: connection) : nil
    }

    // MARK: Replies

    /// Counts a message that will be sent on a call; nil when there is no room for it.
    ///
    /// Small messages count only in the total, unless that is high already: this saves the look-up of the connection.
    func begin(reply bytes: Int, on call: OpaquePointer?) -> SentBytes? {
        guard bytes > 0 else { return SentBytes(bytes: 0, place: nil) }
        if bytes < Self.unattributedBytes, !replies.isShort {
            return replies.reserve(bytes, held: 0) ? SentBytes(bytes: bytes, place: nil) : nil
        }
        guard let connection = connection(of: dcf_call_descriptor(call)) else {
            // The connection is closed: the message is lost.
            return SentBytes(bytes: 0, place: nil)
        }
        return connection.begin(reply: bytes).map { SentBytes(bytes: bytes, place: (connection, $0)) }
    }

    /// Ends the count of a message: the core has sent it, or its call has ended.
    func end(_ sent: SentBytes, isSent: Bool) {
        if let (connection, mark) = sent.place {
            connection.end(reply: mark, isSent: isSent)
        } else {
            replies.release(sent.bytes)
        }
    }

    /// The text of the failure where a reply has no room.
    package var repliesNotTaken: String {
        "replies that were not read yet fill the memory for them: \(limits.replyBytesPerConnection) bytes a connection "
            + "(reply-bytes-per-connection), \(limits.replyBytes) in all (reply-bytes), and the less of it is left the "
            + "less a connection may hold; read replies sooner, or make fewer calls at a time"
    }

    /// A connection that held this many bytes held much.
    private static let muchBytes = 1 << 20
    /// Smaller messages are not counted for their connection: a call costs the core more than this.
    private static let unattributedBytes = 8 << 10

    // MARK: Connections without progress

    /// Asks the acceptor's thread for `endStalled`: memory for messages is short.
    func requestStallCheck() {
        guard !isStallCheckRequested.load(ordering: .relaxed),
            !isStallCheckRequested.exchange(true, ordering: .acquiringAndReleasing)
        else {
            return
        }
        attention.signal()
    }

    package var needsStallCheck: Bool { isStallCheckRequested.load(ordering: .acquiring) }

    package func endStalled(at now: MonotonicTime) {
        let areReplies = replies.isShort
        let areInputs = inputs.isShort
        if !areReplies, !areInputs { isStallCheckRequested.store(false, ordering: .releasing) }
        for connection in state.withLock({ Array($0.open.values) }) {
            guard
                let reason = connection.stalled(
                    at: now, limit: limits.stall, replies: areReplies, inputs: areInputs)
            else { continue }
            connection.end()
            report.add("\(reason), and memory for messages is short (stall)", of: connection.address)
        }
    }
}

/// The limits for clients: for all together, and for one alone. A value.
package struct ConnectionLimits: Sendable, Equatable {
    package var frames = FrameGuardLimits()
    /// The most connections of one address. Loopback has no such limit.
    package var perAddress = 256
    /// The most bytes of replies that clients have not read.
    package var replyBytes = 512 << 20
    /// The same of one connection.
    package var replyBytesPerConnection = 256 << 20
    /// The most bytes of messages that have begun to come and are not complete, by the sizes that they announce.
    package var inputBytes = 512 << 20
    /// The same of one connection.
    package var inputBytesPerConnection = 256 << 20
    /// How long a connection may make no progress while more than half of these bytes are in use.
    package var stall = Duration.seconds(5)

    package init() {}
}

/// The count of a message that is being sent. It must be ended once, by `Connections.end`.
package struct SentBytes: Sendable {
    let bytes: Int
    /// Nil when the message counts only in the total.
    let place: (connection: Connection, mark: ReplyMark)?
}

/// The room that was reserved for a message that waits. It must be given back once.
package struct InputRoom: Sendable {
    let bytes: Int
    /// Nil when the connection was closed already: then nothing was reserved.
    let connection: Connection?

    package func giveBack() {
        connection?.giveBack(room: bytes)
    }
}

/// Reports which connections are closed and why: at most one line a second. Any thread may use it.
final class BreachReport: Sendable {
    private struct State {
        var next = MonotonicTime(nanoseconds: .min)
        var suppressed = 0
    }

    private static let interval = Duration.seconds(1)

    private let say: @Sendable (String) -> Void
    private let state = Lock(State())

    init(_ say: @escaping @Sendable (String) -> Void) {
        self.say = say
    }

    func add(_ reason: String, of address: PeerAddress, at now: MonotonicTime = .now) {
        let suppressed = state.withLock { state -> Int? in
            guard now >= state.next else {
                state.suppressed += 1
                return nil
            }
            state.next = now.advanced(by: Self.interval)
            defer { state.suppressed = 0 }
            return state.suppressed
        }
        guard let suppressed else { return }
        assertNoLockIsHeld()
        let others = suppressed > 0 ? "; before it \(suppressed) more were closed" : ""
        say("a connection of \(address) is closed: \(reason)\(others)")
    }
}
