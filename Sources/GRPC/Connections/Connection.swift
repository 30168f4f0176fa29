internal import CSockets
internal import Glibc
internal import Platform

/// One client's connection as it is seen at its socket, from its accept until the core closes it. Any thread may use
/// it.
final class Connection: Sendable {
    private struct State {
        var frames: FrameGuard
        var sent = SentFrames()
        var replies = ReplyLedger()
        /// The bytes of unfinished messages that the budget counts.
        var inputBytes = 0
        /// The bytes of messages that were received and wait.
        var roomBytes = 0
        /// Whether nothing more is read.
        var isEnded = false
        /// Whether the core has closed it. The descriptor's number may belong to another file.
        var isClosed = false
        var reading = Progress()
        var writing = Progress()
    }

    let descriptor: Int32
    let address: PeerAddress
    private let owner: Connections
    private let state: Lock<State>

    init(descriptor: Int32, address: PeerAddress, owner: Connections) {
        self.descriptor = descriptor
        self.address = address
        self.owner = owner
        state = Lock(State(frames: FrameGuard(owner.limits.frames)))
    }

    // MARK: From the socket

    /// The core has read `count` bytes into `pieces`.
    ///
    /// - Returns: whether the connection goes on.
    func received(_ pieces: UnsafeBufferPointer<dcf_bytes>, count: Int, hasSent: Bool) -> Bool {
        let (goesOn, breach) = state.withLock { state -> (Bool, FrameBreach?) in
            guard !state.isEnded else { return (false, nil) }
            var left = count
            var breach: FrameBreach?
            let inputs = owner.inputs
            var held = state.inputBytes
            for piece in pieces where left > 0 && breach == nil {
                let bytes = UnsafeMutableRawBufferPointer(start: piece.start, count: min(piece.count, left))
                left -= bytes.count
                breach = state.frames.receive(bytes, hasSent: hasSent, now: { .now }) { bytes in
                    guard inputs.reserve(bytes, held: held + state.roomBytes) else { return false }
                    held += bytes
                    return true
                }
            }
            state.writing.bytes &+= count
            releaseInputs(held, &state)
            state.isEnded = breach != nil
            return (breach == nil, breach)
        }
        if let breach { owner.broken(breach, by: self) }
        if owner.inputs.isShort { owner.requestStallCheck() }
        return goesOn
    }

    /// The core has written `count` bytes of `pieces`.
    func sent(_ pieces: UnsafeBufferPointer<dcf_bytes>, count: Int) {
        let breach = state.withLock { state -> FrameBreach? in
            var left = count
            var wanted = 0
            var part = SentFrames.Part()
            var breach: FrameBreach?
            for piece in pieces {
                wanted += piece.count
                guard left > 0 else { continue }
                let bytes = UnsafeRawBufferPointer(start: piece.start, count: min(piece.count, left))
                left -= bytes.count
                state.sent.read(bytes, into: &part) { stream, isFault in
                    guard state.frames.openStreams > 0 || isFault else { return }
                    breach = state.frames.ended(stream, isFault: isFault, now: { .now }) ?? breach
                }
            }
            state.frames.sentDataFrames += part.dataFrames
            state.reading.bytes &+= count
            releaseInputs(state.inputBytes, &state)
            let gone = state.replies.wrote(part.dataBytes, isAll: count == wanted && pieces.count < Self.piecesMax)
            if gone > 0 { owner.replies.release(gone) }
            if breach != nil { state.isEnded = true }
            return breach
        }
        if let breach { owner.broken(breach, by: self) }
    }

    /// The core writes at most this many pieces at once.
    private static let piecesMax = 260

    /// The core closes the socket.
    func closed() {
        let held = state.withLock { state in
            state.isEnded = true
            state.isClosed = true
            let held = state.inputBytes + state.replies.bytes
            owner.inputs.release(state.inputBytes)
            state.inputBytes = 0
            owner.replies.release(state.replies.close())
            return held
        }
        owner.closed(self, freed: held)
    }

    /// Releases the input bytes that are not unfinished any more; `held` were reserved before.
    private func releaseInputs(_ held: Int, _ state: inout State) {
        state.inputBytes = state.frames.unfinishedBytes
        if held > state.inputBytes { owner.inputs.release(held - state.inputBytes) }
    }

    // MARK: Replies

    /// Counts a message that will be sent; nil when there is no room for it.
    func begin(reply bytes: Int) -> ReplyMark? {
        let mark = state.withLock { state -> ReplyMark? in
            guard owner.replies.reserve(bytes, held: state.replies.bytes) else { return nil }
            return state.replies.begin(bytes)
        }
        if owner.replies.isShort { owner.requestStallCheck() }
        return mark
    }

    /// Ends the count: the core has sent the message, or its call has ended.
    func end(reply mark: ReplyMark, isSent: Bool) {
        let gone = state.withLock { state in
            // What a closed connection still held is lost with it.
            state.replies.end(mark, isSent: isSent && !state.isClosed)
        }
        if gone > 0 { owner.replies.release(gone) }
    }

    // MARK: Messages that wait

    /// Reserves room for a message that was received and must wait; false when there is none.
    func reserveRoom(_ bytes: Int) -> Bool {
        state.withLock { state in
            guard owner.inputs.reserve(bytes, held: state.inputBytes + state.roomBytes) else { return false }
            state.roomBytes += bytes
            return true
        }
    }

    func giveBack(room bytes: Int) {
        state.withLock { $0.roomBytes -= bytes }
        owner.inputs.release(bytes)
    }

    // MARK: Its end

    /// Ends the connection, from any thread: the core sees that the client has left, and closes it.
    func end() {
        state.withLock { state in
            state.isEnded = true
            guard !state.isClosed else { return }
            // This resets the connection when it is closed: the system keeps no data for a peer that may never answer.
            var abrupt = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abrupt, socklen_t(MemoryLayout<linger>.size))
            shutdown(descriptor, Int32(SHUT_RDWR))
        }
    }

    /// Checks whether the client holds memory that others need, and whether it has made progress since the last check.
    ///
    /// - Returns: what it holds, in words, where it has made no progress for `limit`; otherwise nil.
    func stalled(at now: MonotonicTime, limit: Duration, replies: Bool, inputs: Bool) -> String? {
        state.withLock { state in
            guard !state.isEnded else { return nil }
            if state.reading.isStalled(holding: replies ? state.replies.bytes : 0, at: now, limit: limit) {
                return "it does not read the \(state.replies.bytes) bytes of replies that wait for it"
            }
            if state.writing.isStalled(holding: inputs ? state.inputBytes : 0, at: now, limit: limit) {
                return "it does not go on with messages of \(state.inputBytes) bytes that it has begun"
            }
            return nil
        }
    }
}

/// Tells whether a peer that holds memory makes progress. A value: the caller passes times.
struct Progress {
    /// In its time a peer must move at least this fraction (one in so many) of the bytes that it holds.
    private static let part = 32

    /// How many bytes it has moved in all.
    var bytes = 0
    private var mark = 0
    private var since: MonotonicTime?

    /// Compares with the earlier checks.
    ///
    /// - Parameter holding: how many bytes the peer holds; one that holds none is never stalled.
    /// - Returns: whether the peer has moved next to nothing for `limit`.
    mutating func isStalled(holding: Int, at now: MonotonicTime, limit: Duration) -> Bool {
        guard holding > 0, let since, bytes - mark < holding / Self.part else {
            mark = bytes
            since = holding > 0 ? now : nil
            return false
        }
        return now.nanoseconds(since: since) >= limit.nanosecondsClamped
    }
}
