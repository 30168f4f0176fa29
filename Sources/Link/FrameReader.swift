internal import CLinux
internal import Glibc
internal import Platform
internal import WatcherLink

/// Splits the bytes that come from a watcher into frames. A small frame stays in the buffer into which it was read; the
/// payload of a large one is read straight into the memory that goes on to the caller. Used on the link's thread.
final class FrameReader {
    /// A frame that lies in the buffer as a whole. Valid until the call of `next` after `refill`.
    struct Frame {
        let header: FrameHeader
        /// Where its head begins in the buffer.
        let offset: Int
    }

    enum Step: ~Copyable {
        case frame(Frame)
        /// A frame with a large payload, which lies in its own memory.
        case large(Frame, OwnedBytes)
        /// The returned frames are about to be overwritten: handle them, and call again.
        case refill
        /// The socket has no more bytes at the moment, or the link has had its share of this turn.
        case nothing
        /// The link has ended, for this reason.
        case end(LinkEnd)
    }

    private static let bufferBytes = 128 << 10
    /// The most bytes that a peer may send before it has presented a token.
    private static let unauthenticatedBytes = 2 << 10
    /// A larger payload of some kinds of frames does not go through the buffer.
    private static let largeBytes = 16 << 10
    /// After so many bytes in one turn of the thread the other links have theirs. The socket stays readable, so the rest
    /// is read in the next turn.
    private static let turnBytes = 1 << 20

    private let descriptor: Int32
    private let maxBodyBytes: Int
    private var isTrusted = false
    private var buffer: UnsafeMutableRawBufferPointer
    /// The bytes of the buffer from `start` to `end` were read and are not split into frames yet.
    private var start = 0
    private var end = 0
    /// A large payload that is being read.
    private var large: Large?
    /// Whether the last read gave fewer bytes than it asked for: the next one would return EAGAIN.
    private var isDrained = false
    /// Whether frames were returned that still lie in the buffer.
    private var hasGivenFrames = false
    /// How many bytes may still be read in this turn. The last read of a turn may go beyond it.
    private var turnBytesLeft = 0

    /// A frame whose large payload is being read.
    private final class Large {
        let frame: Frame
        /// Nil once it was given away.
        var memory: OwnedBytes?
        let bytes: UnsafeMutableRawBufferPointer
        var filled = 0

        init(frame: Frame, memory: consuming OwnedBytes) {
            self.frame = frame
            bytes = memory.bytes
            self.memory = consume memory
        }
    }

    init(descriptor: Int32, maxBodyBytes: Int) {
        self.descriptor = descriptor
        self.maxBodyBytes = maxBodyBytes
        buffer = .allocate(byteCount: Self.unauthenticatedBytes, alignment: 16)
    }

    /// Accepts frames of the agreed sizes: the peer has presented a token. Frames that were returned are not valid any
    /// more.
    func trust() {
        guard !isTrusted else { return }
        isTrusted = true
        grow(to: Self.bufferBytes)
    }

    deinit {
        buffer.deallocate()
    }

    func head(of frame: Frame) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: buffer[frame.offset..<frame.offset + frame.header.headLength])
    }

    func payload(of frame: Frame) -> UnsafeRawBufferPointer {
        let begin = frame.offset + frame.header.headLength
        return UnsafeRawBufferPointer(rebasing: buffer[begin..<begin + frame.header.payloadLength])
    }

    /// Begins a turn.
    ///
    /// - Parameter readsAll: whether the turn lasts until the socket has no more bytes.
    func beginTurn(readsAll: Bool) {
        turnBytesLeft = readsAll ? .max : Self.turnBytes
    }

    /// Reads on to the next frame.
    ///
    /// - Throws: the violation, when the bytes are not a valid frame.
    func next() throws(LinkError) -> Step {
        while true {
            if large != nil { return readLarge() }
            var needed = FrameHeader.size
            if end - start >= FrameHeader.size, let base = buffer.baseAddress {
                let header = FrameHeader(decoding: base + start)
                try header.validate(maxBodyLength: maxBodyBytes)
                let frame = Frame(header: header, offset: start + FrameHeader.size)
                needed = FrameHeader.size + header.bodyLength
                if end - start >= needed {
                    start += needed
                    hasGivenFrames = true
                    return .frame(frame)
                }
                guard isTrusted || needed <= buffer.count else {
                    throw .tooLong(
                        kind: header.kind, length: header.bodyLength, limit: buffer.count - FrameHeader.size)
                }
                if header.payloadLength > Self.largeBytes, Self.mayBeLarge(header.kind),
                    end - start >= FrameHeader.size + header.headLength
                {
                    if mustRefill() { return .refill }
                    beginLarge(frame)
                    continue
                }
            }
            if isDrained {
                isDrained = false
                return .nothing
            }
            if mustRefill() { return .refill }
            guard turnBytesLeft > 0 else { return .nothing }
            makeRoom(for: needed)
            let count = fill()
            guard count > 0 else { return Self.ending(count) }
        }
    }

    private static func mayBeLarge(_ kind: UInt8) -> Bool {
        switch FrameKind(rawValue: kind) {
        case .reply, .piece, .callOut: true
        default: false
        }
    }

    /// Whether returned frames must be handled before the buffer is used again. True once for them.
    private func mustRefill() -> Bool {
        defer { hasGivenFrames = false }
        return hasGivenFrames
    }

    private func beginLarge(_ frame: Frame) {
        let reply = Large(frame: frame, memory: OwnedBytes(count: frame.header.payloadLength))
        let begin = frame.offset + frame.header.headLength
        reply.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[begin..<end]))
        reply.filled = end - begin
        large = reply
        start = 0
        end = 0
    }

    private func readLarge() -> Step {
        guard let reply = large else { return .nothing }
        while reply.filled < reply.bytes.count {
            guard turnBytesLeft > 0 else { return .nothing }
            let target = UnsafeMutableRawBufferPointer(rebasing: reply.bytes[reply.filled...])
            let count = recv(descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                reply.filled += count
                turnBytesLeft -= count
                continue
            }
            return Self.ending(count)
        }
        large = nil
        isDrained = false
        guard let memory = reply.memory.take() else { return .nothing }
        return .large(reply.frame, memory)
    }

    /// Moves the bytes that are left to the buffer's beginning, and makes the buffer as large as the next frame.
    private func makeRoom(for length: Int) {
        if length > buffer.count { return grow(to: length) }
        let kept = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
        if start > 0, kept.count > 0, let target = buffer.baseAddress, let source = kept.baseAddress {
            memmove(target, source, kept.count)
        }
        end -= start
        start = 0
    }

    private func grow(to length: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
        buffer.deallocate()
        buffer = larger
        end -= start
        start = 0
    }

    /// Reads from the socket into the buffer. Returns what recv returns.
    private func fill() -> Int {
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer[end...])
        let count = recv(descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
        if count > 0 {
            end += count
            turnBytesLeft -= count
            isDrained = count < target.count
        }
        return count
    }

    private static func ending(_ count: Int) -> Step {
        if count == 0 { return .end(.closedByWatcher) }
        switch errno {
        case EAGAIN, EINTR: return .nothing
        default: return .end(.broken(errno))
        }
    }
}

/// Checks whether bytes are UTF-8 (RFC 3629): long runs of ASCII at the speed of memory, the rest byte by byte.
enum UTF8Check {
    /// The offset of the first byte that cannot be part of UTF-8 text; nil when all bytes are UTF-8.
    static func firstInvalid(in bytes: UnsafeRawBufferPointer) -> Int? {
        var index = 0
        while index < bytes.count {
            index = skipASCII(bytes, from: index)
            guard index < bytes.count else { return nil }
            guard let length = sequenceLength(bytes, at: index) else { return index }
            index += length
        }
        return nil
    }

    private static func skipASCII(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard let base = bytes.baseAddress else { return start }
        var index = start
        // 64 bytes at a time, in words: the compiler makes vectors of them.
        while index + 64 <= bytes.count {
            var all: UInt64 = 0
            for word in 0..<8 {
                all |= base.loadUnaligned(fromByteOffset: index + 8 * word, as: UInt64.self)
            }
            if all & 0x8080_8080_8080_8080 != 0 { break }
            index += 64
        }
        while index < bytes.count, bytes[index] < 0x80 { index += 1 }
        return index
    }

    /// The length of the multi-byte sequence at `index`; nil when it is not valid.
    private static func sequenceLength(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int? {
        let first = bytes[index]
        let length: Int
        /// The valid second bytes. They exclude overlong forms, surrogates, and everything above U+10FFFF.
        let second: ClosedRange<UInt8>
        switch first {
        case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: return nil
        }
        guard index + length <= bytes.count, second.contains(bytes[index + 1]) else { return nil }
        for offset in 2..<max(length, 2) where !(0x80...0xBF).contains(bytes[index + offset]) { return nil }
        return length
    }
}
