internal import CSockets
internal import Glibc
internal import Locks

/// A client's connection, from its accept until the core closes it, seen at its socket.
final class Connection: Sendable {
    private struct State {
        var frames: FrameGuard
        var sent = SentFrames()
        var replies = ReplyLedger()
        /// Bytes of unfinished messages, as the budget knows them.
        var inputBytes = 0
        /// Bytes of messages that are here and wait.
        var roomBytes = 0
        /// Nothing more is read.
        var isEnded = false
        /// The descriptor may be another's.
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

    // MARK: Told by the socket

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
                    guard inputs.take(bytes, held: held + state.roomBytes) else { return false }
                    held += bytes
                    return true
                }
            }
            state.writing.bytes &+= count
            settleInputs(held, &state)
            state.isEnded = breach != nil
            return (breach == nil, breach)
        }
        if let breach { owner.broken(breach, by: self) }
        if owner.inputs.isShort { owner.needsLook() }
        return goesOn
    }

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
            settleInputs(state.inputBytes, &state)
            let gone = state.replies.wrote(part.dataBytes, isAll: count == wanted && pieces.count < Self.piecesMax)
            if gone > 0 { owner.replies.give(back: gone) }
            if breach != nil { state.isEnded = true }
            return breach
        }
        if let breach { owner.broken(breach, by: self) }
    }

    /// The core writes at most so many pieces at once.
    private static let piecesMax = 260

    func closed() {
        let held = state.withLock { state in
            state.isEnded = true
            state.isClosed = true
            let held = state.inputBytes + state.replies.bytes
            owner.inputs.give(back: state.inputBytes)
            state.inputBytes = 0
            owner.replies.give(back: state.replies.close())
            return held
        }
        owner.closed(self, freed: held)
    }

    /// Gives back what is not taken any more; `held` is what was.
    private func settleInputs(_ held: Int, _ state: inout State) {
        state.inputBytes = state.frames.unfinishedBytes
        if held > state.inputBytes { owner.inputs.give(back: held - state.inputBytes) }
    }

    // MARK: Replies

    /// Counts a message that is to be sent; nil when there is no room for it.
    func begin(reply bytes: Int) -> ReplyMark? {
        let mark = state.withLock { state -> ReplyMark? in
            guard owner.replies.take(bytes, held: state.replies.bytes) else { return nil }
            return state.replies.begin(bytes)
        }
        if owner.replies.isShort { owner.needsLook() }
        return mark
    }

    /// The core says that it is sent, or that its call has ended.
    func end(reply mark: ReplyMark, isSent: Bool) {
        let gone = state.withLock { state in
            // What is left in a connection that is closed goes with it.
            state.replies.end(mark, isSent: isSent && !state.isClosed)
        }
        if gone > 0 { owner.replies.give(back: gone) }
    }

    // MARK: Messages that wait

    func takeRoom(_ bytes: Int) -> Bool {
        state.withLock { state in
            guard owner.inputs.take(bytes, held: state.inputBytes + state.roomBytes) else { return false }
            state.roomBytes += bytes
            return true
        }
    }

    func giveBack(room bytes: Int) {
        state.withLock { $0.roomBytes -= bytes }
        owner.inputs.give(back: bytes)
    }

    // MARK: Its end

    /// Ends the connection, from any thread: the core sees that the client has left, and closes it.
    func end() {
        state.withLock { state in
            state.isEnded = true
            guard !state.isClosed else { return }
            // Closed so, it is reset: the system keeps nothing of it for a peer that may never answer.
            var abrupt = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abrupt, socklen_t(MemoryLayout<linger>.size))
            shutdown(descriptor, Int32(SHUT_RDWR))
        }
    }

    /// Looks whether it holds what others need, and how far it has come since the last look.
    ///
    /// - Returns: what it holds, when it has not gone on for `limit`.
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
