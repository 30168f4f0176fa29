internal import CLinux
internal import GRPC
internal import Glibc
internal import WatcherLink

/// Frames on their way to a watcher. Small ones lie one behind the other in one buffer; a large input stays where it is
/// and is written from there. Used by one thread at a time.
final class FrameBatch {
    /// An input larger than this is not copied.
    private static let copiedBytesMax = 16 << 10
    /// The most pieces of one write; IOV_MAX is 1024.
    private static let piecesMax = 256

    private var bytes: [UInt8] = []
    /// Inputs that are not copied, each with the place in `bytes` before which it belongs.
    private var inputs: [(position: Int, invocation: Invocation)] = []
    private var inputBytes = 0
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

    /// A frame without a payload worth a thought.
    func append(_ kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, head: [UInt8] = [], payload: [UInt8] = [])
    {
        append(
            FrameHeader(kind: kind, flags: flags, id: id, headLength: head.count, payloadLength: payload.count))
        bytes.append(contentsOf: head)
        bytes.append(contentsOf: payload)
    }

    /// The next `count` calls are one batch.
    func appendBatch(of count: Int) {
        append(FrameHeader(kind: .batch, headLength: 2, payloadLength: 0))
        append(UInt16(count))
    }

    /// A frame whose payload is copied.
    func append(
        _ kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, head: [UInt8], payload: UnsafeRawBufferPointer
    ) {
        append(
            FrameHeader(kind: kind, flags: flags, id: id, headLength: head.count, payloadLength: payload.count))
        bytes.append(contentsOf: head)
        bytes.append(contentsOf: payload)
    }

    /// A call; the layout is ``CallHead``'s, written without the steps between.
    func append(_ invocation: Invocation, id: UInt64, at now: MonotonicTime) {
        var requestID = invocation.requestID
        let metadataLength = max(invocation.metadata.count, 2)
        let headLength = 8 + 2 + requestID.utf8.count + metadataLength
        let count = invocation.input.count
        append(
            FrameHeader(
                kind: .call, flags: invocation.wantsPieces ? .stream : .none, id: id, headLength: headLength,
                payloadLength: count))
        append(Self.remainingMicros(invocation, at: now))
        append(UInt16(requestID.utf8.count))
        requestID.withUTF8 { bytes.append(contentsOf: $0) }
        if invocation.metadata.isEmpty { append(UInt16(0)) } else { bytes.append(contentsOf: invocation.metadata) }
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

    /// 0 means none, so a call whose time is all but up has 1.
    private static func remainingMicros(_ invocation: Invocation, at now: MonotonicTime) -> UInt64 {
        guard invocation.deadline < .never else { return 0 }
        return UInt64(max(invocation.deadline.nanoseconds(since: now) / 1_000, 1))
    }

    enum Outcome {
        case done
        /// The socket takes no more for now.
        case blocked
        case failed
    }

    /// Writes as much as the socket takes.
    func write(to descriptor: Int32) -> Outcome {
        let total = bytes.count + inputBytes
        while sent < total {
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

    /// What is not sent yet, in order, as far as it fits.
    private func gather(_ raw: UnsafeRawBufferPointer, into pieces: UnsafeMutableBufferPointer<iovec>) -> Int {
        var count = 0
        var skip = sent

        /// False when no piece more fits.
        func add(_ piece: UnsafeRawBufferPointer) -> Bool {
            if skip >= piece.count {
                skip -= piece.count
                return true
            }
            guard count < pieces.count else { return false }
            pieces[count] = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: piece.baseAddress.map { $0 + skip }),
                iov_len: piece.count - skip)
            skip = 0
            count += 1
            return true
        }

        var position = 0
        for input in inputs {
            guard add(UnsafeRawBufferPointer(rebasing: raw[position..<input.position])) else { return count }
            position = input.position
            let inputCount = input.invocation.input.count
            if skip >= inputCount {
                skip -= inputCount
                continue
            }
            let start = skip
            skip = 0
            var isFull = false
            input.invocation.input.forEachPiece(from: start) { piece in
                isFull = !add(piece)
                return !isFull
            }
            if isFull { return count }
        }
        _ = add(UnsafeRawBufferPointer(rebasing: raw[position...]))
        return count
    }
}
