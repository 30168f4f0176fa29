internal import CGRPC
internal import CLinux
internal import CSockets
internal import Glibc
internal import Locks
internal import Synchronization

/// All connections of a server's clients: what they may do, and what they hold together.
///
/// The core reads and writes its sockets itself. The program's own recvmsg, sendmsg and close stand before it (`CSockets`)
/// and tell the ``Connection``.
package final class Connections: Sendable {
    private struct State {
        var book: AddressBook
        var open: [Int32: Connection] = [:]
    }

    package let limits: ConnectionLimits
    /// Replies that clients have not taken.
    package let replies: ByteBudget
    /// Messages that have begun to come and are not here yet.
    package let inputs: ByteBudget
    private let state: Lock<State>
    private let report: BreachReport
    private let onFreed: @Sendable () -> Void
    /// Readable when `look` is to be called.
    let attention: Int32
    private let wantsLook = Atomic<Bool>(false)

    /// - Parameters:
    ///   - report: told of connections that are closed and why, in words, once a second at most. Must not block.
    ///   - onFreed: called when a connection has ended that held much. Must not block.
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
        attention = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    }

    deinit {
        close(attention)
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
    static let descriptorMax = Int32(DCF_SOCKETS_MAX) - 1

    /// Takes a new connection's socket into account; false when its address is refused.
    func open(_ descriptor: Int32) -> Bool {
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
        // That was said when it was refused.
        case .refused: break
        }
        return admission == .admitted
    }

    /// The connection of a descriptor, which the core has not closed.
    func connection(of descriptor: Int32) -> Connection? {
        state.withLock { $0.open[descriptor] }
    }

    /// - Parameter freed: bytes that it held.
    func closed(_ connection: Connection, freed: Int) {
        state.withLock { state in
            state.book.leave(connection.address)
            if state.open[connection.descriptor] === connection { state.open[connection.descriptor] = nil }
        }
        guard freed >= Self.muchBytes else { return }
        assertNoLockIsHeld()
        onFreed()
    }

    /// A client has broken a limit: its connection is closed, and its address refused for a while.
    func broken(_ breach: FrameBreach, by connection: Connection) {
        connection.end()
        state.withLock { $0.book.refuse(connection.address, at: .now) }
        report.add("\(breach.description) (\(breach.rawValue))", of: connection.address)
    }

    // MARK: Messages that wait

    /// Takes room for a message of a call that was received and has to wait; nil when there is none.
    func takeRoom(_ bytes: Int, of call: OpaquePointer?) -> InputRoom? {
        guard let connection = connection(of: dcf_call_descriptor(call)) else {
            return InputRoom(bytes: 0, connection: nil)
        }
        return connection.takeRoom(bytes) ? InputRoom(bytes: bytes, connection: connection) : nil
    }

    // MARK: Replies

    /// Counts a message that is to be sent on a call; nil when there is no room for it.
    ///
    /// The connection is looked up for what counts there only: the smallest messages are counted in all, unless that is
    /// much already.
    func begin(reply bytes: Int, on call: OpaquePointer?) -> SentBytes? {
        guard bytes > 0 else { return SentBytes(bytes: 0, place: nil) }
        if bytes < Self.unattributedBytes, !replies.isShort {
            return replies.take(bytes, held: 0) ? SentBytes(bytes: bytes, place: nil) : nil
        }
        guard let connection = connection(of: dcf_call_descriptor(call)) else {
            // It is closed: what is sent goes nowhere.
            return SentBytes(bytes: 0, place: nil)
        }
        return connection.begin(reply: bytes).map { SentBytes(bytes: bytes, place: (connection, $0)) }
    }

    /// The core says that it is sent, or that its call has ended.
    func end(_ sent: SentBytes, isSent: Bool) {
        if let (connection, mark) = sent.place {
            connection.end(reply: mark, isSent: isSent)
        } else {
            replies.give(back: sent.bytes)
        }
    }

    /// Why a message is not sent.
    package var repliesNotTaken: String {
        "replies that were not read yet fill the memory for them: \(limits.replyBytesPerConnection) bytes a connection "
            + "(reply-bytes-per-connection), \(limits.replyBytes) in all (reply-bytes), and the less of it is left the "
            + "less a connection may hold; read replies sooner, or make fewer calls at a time"
    }

    private static let muchBytes = 1 << 20
    /// A call costs the core more than this.
    private static let unattributedBytes = 8 << 10

    // MARK: Who is in the way

    /// Bytes have become scarce.
    func needsLook() {
        guard !wantsLook.load(ordering: .relaxed), !wantsLook.exchange(true, ordering: .acquiringAndReleasing) else {
            return
        }
        eventfd_write(attention, 1)
    }

    /// Whether `look` is to be called each second.
    var isLookedFor: Bool { wantsLook.load(ordering: .acquiring) }

    /// Ends connections that hold what others need and make no progress.
    func look(at now: MonotonicTime) {
        let areReplies = replies.isShort
        let areInputs = inputs.isShort
        if !areReplies, !areInputs { wantsLook.store(false, ordering: .releasing) }
        for connection in state.withLock({ Array($0.open.values) }) {
            guard
                let reason = connection.stalled(
                    at: now, limit: limits.stall, replies: areReplies, inputs: areInputs)
            else { continue }
            connection.end()
            report.add("\(reason), and bytes are short (stall)", of: connection.address)
        }
    }
}
