internal import Calls
internal import CLinux
internal import Glibc
internal import Platform
internal import WatcherLink

/// The sending side of a link. A thread that has a frame writes it at once. While a thread writes, others only add
/// their frames, and the writing thread sends them with its next write. No thread waits for the socket: when it is
/// full, or one thread has written much, the thread that watches the link writes the rest once there is room.
final class LinkWriter: Sendable {
    private struct State: @unchecked Sendable {
        // @unchecked: both batches are used under the lock, or by the thread that set `isWriting`.
        var pending = FrameBatch()
        var current = FrameBatch()
        var isWriting = false
        /// Whether the rest of `current` waits for `resume`.
        var isBlocked = false
        var isClosed = false
    }

    private let descriptor: Int32
    private let state = Lock(State())
    /// Has the link's thread call `resume` when the socket has room.
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

    /// Goes on writing after the socket was full. Does nothing while another thread writes.
    func resume() {
        let mine = state.withLock { state -> FrameBatch? in
            guard state.isBlocked, !state.isClosed else { return nil }
            state.isBlocked = false
            return state.current
        }
        if let mine { write(mine) }
    }

    /// Drops the frames that are not sent, and takes no more.
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
                // This comes first: the socket may have room at once.
                state.withLock { $0.isBlocked = true }
                onBlocked()
                return
            case .failed:
                // The reading side sees the end as well, and closes the link.
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

/// Frames on their way to a watcher. Small frames lie one behind the other in one buffer; a large input stays in its
/// own memory and is written from there. Used by one thread at a time.
final class FrameBatch {
    /// An input larger than this is not copied.
    private static let copiedBytesMax = 16 << 10
    /// The most pieces of one write. The system's limit, IOV_MAX, is 1024.
    private static let piecesMax = 256
    /// After so many bytes a thread leaves the rest to the thread that watches the link, and that thread to its next
    /// turn: a watcher that reads as fast as they are written would keep the thread from its other work.
    private static let turnBytes = 4 << 20

    // @exclusivity: one thread uses a batch at a time, and Swift's check of each access would be a tenth of the work
    // of sending a call.
    @exclusivity(unchecked) private var bytes: [UInt8] = []
    /// The inputs that are not copied, each with the position in `bytes` before which it belongs.
    @exclusivity(unchecked) private var inputs: [(position: Int, invocation: Invocation)] = []
    private var inputBytes = 0
    /// How many of all bytes are sent.
    private var sent = 0

    var isEmpty: Bool { bytes.isEmpty }

    private func append(_ header: FrameHeader) {
        withUnsafeTemporaryAllocation(byteCount: FrameHeader.size, alignment: 8) { raw in
            guard let base = raw.baseAddress else { return }
            header.encode(to: base)
            bytes.append(contentsOf: UnsafeRawBufferPointer(raw))
        }
    }

    private func append<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Adds a frame with a small payload or none.
    func append(_ kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, head: [UInt8] = [], payload: [UInt8] = [])
    {
        append(
            FrameHeader(kind: kind, flags: flags, id: id, headLength: head.count, payloadLength: payload.count))
        bytes.append(contentsOf: head)
        bytes.append(contentsOf: payload)
    }

    /// Adds the frame that makes the next `count` calls one batch.
    func appendBatch(of count: Int) {
        append(FrameHeader(kind: .batch, headLength: 2, payloadLength: 0))
        append(UInt16(count))
    }

    /// Adds a frame with a copy of its payload.
    func append(
        _ kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, head: [UInt8], payload: UnsafeRawBufferPointer
    ) {
        append(
            FrameHeader(kind: kind, flags: flags, id: id, headLength: head.count, payloadLength: payload.count))
        bytes.append(contentsOf: head)
        bytes.append(contentsOf: payload)
    }

    /// Adds a call. The head has the layout of ``CallHead``, and is written without making one.
    func append(_ invocation: Invocation, id: UInt64, at now: MonotonicTime) {
        let metadata = invocation.context.metadata
        var requestID = metadata.requestID
        let metadataLength = max(metadata.encoded.count, 2)
        let headLength = 8 + 2 + requestID.utf8.count + metadataLength
        let count = invocation.input.count
        append(
            FrameHeader(
                kind: .call, flags: invocation.context.wantsPieces ? .stream : .none, id: id, headLength: headLength,
                payloadLength: count))
        append(Self.remainingMicros(invocation, at: now))
        append(UInt16(requestID.utf8.count))
        requestID.withUTF8 { bytes.append(contentsOf: $0) }
        if metadata.encoded.isEmpty { append(UInt16(0)) } else { bytes.append(contentsOf: metadata.encoded) }
        if count > Self.copiedBytesMax {
            inputs.append((bytes.count, invocation))
            inputBytes += count
        } else {
            invocation.input.forEachPiece { piece in
                bytes.append(contentsOf: piece)
                return true
            }
        }
    }

    /// The time left, for the head. 0 would mean no deadline, so a call whose time is up has 1.
    private static func remainingMicros(_ invocation: Invocation, at now: MonotonicTime) -> UInt64 {
        guard invocation.deadline < .never else { return 0 }
        return UInt64(max(invocation.deadline.nanoseconds(since: now) / 1_000, 1))
    }

    enum Outcome {
        case done
        /// The socket is full, or much was written.
        case blocked
        case failed
    }

    /// Writes until everything is sent, the socket is full, or much was written.
    func write(to descriptor: Int32) -> Outcome {
        let total = bytes.count + inputBytes
        let pause = sent + Self.turnBytes
        while sent < total {
            guard sent < pause else { return .blocked }
            let count = inputs.isEmpty ? writeBytes(to: descriptor) : writePieces(to: descriptor)
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN ? .blocked : .failed
            }
            sent += count
        }
        clear()
        return .done
    }

    func clear() {
        bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 20)
        inputs.removeAll(keepingCapacity: true)
        inputBytes = 0
        sent = 0
    }

    private func writeBytes(to descriptor: Int32) -> Int {
        bytes.withUnsafeBytes { raw in
            send(descriptor, raw.baseAddress.map { $0 + sent }, raw.count - sent, Int32(MSG_NOSIGNAL))
        }
    }

    private func writePieces(to descriptor: Int32) -> Int {
        bytes.withUnsafeBytes { raw in
            withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.piecesMax) { pieces in
                let count = gather(raw, into: pieces)
                var message = msghdr()
                message.msg_iov = pieces.baseAddress
                message.msg_iovlen = count
                return sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
            }
        }
    }

    /// Collects the pieces that are not sent yet, in order, as many as fit.
    private func gather(_ raw: UnsafeRawBufferPointer, into pieces: UnsafeMutableBufferPointer<iovec>) -> Int {
        var gathered = GatheredPieces(pieces, skip: sent)
        var position = 0
        for (end, invocation) in inputs {
            guard gathered.add(UnsafeRawBufferPointer(rebasing: raw[position..<end])) else { break }
            position = end
            let start = gathered.skip(invocation.input.count)
            invocation.input.forEachPiece(from: start) { gathered.add($0) }
        }
        gathered.add(UnsafeRawBufferPointer(rebasing: raw[position...]))
        return gathered.count
    }
}

/// The pieces of one write, from the first byte on that is not sent yet.
private struct GatheredPieces {
    private let pieces: UnsafeMutableBufferPointer<iovec>
    private(set) var count = 0
    /// How many bytes of the pieces to come are sent already.
    private var skip: Int

    init(_ pieces: UnsafeMutableBufferPointer<iovec>, skip: Int) {
        self.pieces = pieces
        self.skip = skip
    }

    /// Skips what is sent already of the next `length` bytes.
    ///
    /// - Returns: the number of bytes skipped.
    mutating func skip(_ length: Int) -> Int {
        let skipped = min(skip, length)
        skip -= skipped
        return skipped
    }

    /// Adds a piece.
    ///
    /// - Returns: false when no further piece fits.
    @discardableResult
    mutating func add(_ piece: UnsafeRawBufferPointer) -> Bool {
        let skipped = skip(piece.count)
        guard skipped < piece.count else { return true }
        guard count < pieces.count else { return false }
        pieces[count] = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: piece.baseAddress.map { $0 + skipped }),
            iov_len: piece.count - skipped)
        count += 1
        return true
    }
}
