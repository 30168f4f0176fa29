internal import Locks

/// The sending side of a link. Whoever has a frame writes it from its own thread; those who come while somebody writes
/// leave theirs, and the writer takes them along in its next write. Nobody ever waits for the socket: what it does not
/// take is written when it has room again, by the thread that watches the link.
final class LinkWriter: Sendable {
    private struct State: @unchecked Sendable {
        // @unchecked: both batches are reached under the lock, or by the one who set `isWriting`.
        var pending = FrameBatch()
        var current = FrameBatch()
        var isWriting = false
        var isClosed = false
    }

    private let descriptor: Int32
    private let state = Lock(State())
    /// Asks the link's thread to call `resume` when the socket has room.
    private let onBlocked: @Sendable () -> Void

    init(descriptor: Int32, onBlocked: @escaping @Sendable () -> Void) {
        self.descriptor = descriptor
        self.onBlocked = onBlocked
    }

    /// Sends the frames that `build` adds.
    func send(_ build: (FrameBatch) -> Void) {
        let mine = state.withLock { state -> FrameBatch? in
            guard !state.isClosed else { return nil }
            build(state.pending)
            guard !state.isWriting, !state.pending.isEmpty else { return nil }
            state.isWriting = true
            swap(&state.pending, &state.current)
            return state.current
        }
        if let mine { write(mine) }
    }

    /// Goes on after the socket was full.
    func resume() {
        let mine = state.withLock { $0.isWriting && !$0.isClosed ? $0.current : nil }
        if let mine { write(mine) }
    }

    /// Drops what is not sent.
    func close() {
        state.withLock { state in
            state.isClosed = true
            state.pending.clear()
        }
    }

    private func write(_ first: FrameBatch) {
        var batch = first
        while true {
            switch batch.write(to: descriptor) {
            case .blocked:
                onBlocked()
                return
            case .failed:
                // The reading side sees the end too, and closes the link.
                close()
                return
            case .done:
                let next = state.withLock { state -> FrameBatch? in
                    guard !state.pending.isEmpty else {
                        state.isWriting = false
                        return nil
                    }
                    swap(&state.pending, &state.current)
                    return state.current
                }
                guard let next else { return }
                batch = next
            }
        }
    }
}
