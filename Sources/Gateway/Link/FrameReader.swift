internal import CLinux
internal import GRPC
internal import Glibc
internal import WatcherLink

/// Cuts what comes from a watcher into frames. Small ones are looked at where they were read; the payload of a large
/// one is read straight into the memory that will go to the caller. Used on the links' thread.
final class FrameReader {
    /// A frame that lies whole in the buffer. Valid until the `next` after `refill`.
    struct Frame {
        let header: FrameHeader
        /// Of its head, in the buffer.
        let offset: Int
    }

    enum Step: ~Copyable {
        case frame(Frame)
        /// The same with a large payload, which lies in memory of its own.
        case large(Frame, SliceMemory)
        /// Frames that were given out are about to be overwritten; call again.
        case refill
        /// All that the socket had has been read.
        case nothing
        /// The socket's end, and why.
        case end(String)
    }

    private static let bufferBytes = 128 << 10
    /// All that a peer may send before it has said who it is.
    private static let strangerBytes = 2 << 10
    /// A larger payload of some kinds does not go through the buffer.
    private static let largeBytes = 16 << 10

    private let descriptor: Int32
    private let maxBodyBytes: Int
    private var isTrusted = false
    private var buffer: UnsafeMutableRawBufferPointer
    /// What of the buffer is read and not cut yet.
    private var start = 0
    private var end = 0
    /// A large payload that is being read.
    private var large: Large?
    /// Whether the socket gave less than it was asked for: asking again would only say EAGAIN.
    private var isDrained = false
    /// Whether frames were given out that still lie in the buffer.
    private var hasGivenFrames = false

    private final class Large {
        let frame: Frame
        var memory: SliceMemory
        var filled = 0

        init(frame: Frame, memory: consuming SliceMemory) {
            self.frame = frame
            self.memory = memory
        }
    }

    init(descriptor: Int32, maxBodyBytes: Int) {
        self.descriptor = descriptor
        self.maxBodyBytes = maxBodyBytes
        buffer = .allocate(byteCount: Self.strangerBytes, alignment: 16)
    }

    /// The peer has said who it is: it may send what is agreed. Ends the time of the frames that were given out.
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
                    if giveBack() { return .refill }
                    beginLarge(frame)
                    continue
                }
            }
            if isDrained {
                isDrained = false
                return .nothing
            }
            if giveBack() { return .refill }
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

    /// Whether frames must be looked at before the buffer is used again.
    private func giveBack() -> Bool {
        defer { hasGivenFrames = false }
        return hasGivenFrames
    }

    private func beginLarge(_ frame: Frame) {
        let reply = Large(frame: frame, memory: SliceMemory(count: frame.header.payloadLength))
        let begin = frame.offset + frame.header.headLength
        reply.memory.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[begin..<end]))
        reply.filled = end - begin
        large = reply
        start = 0
        end = 0
    }

    private func readLarge() -> Step {
        guard let reply = large else { return .nothing }
        while reply.filled < reply.memory.bytes.count {
            let target = UnsafeMutableRawBufferPointer(rebasing: reply.memory.bytes[reply.filled...])
            let count = recv(descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                reply.filled += count
                continue
            }
            return Self.ending(count)
        }
        large = nil
        isDrained = false
        let frame = reply.frame
        var memory = SliceMemory(count: 33)
        swap(&memory, &reply.memory)
        return .large(frame, memory)
    }

    /// Moves what is left to the buffer's beginning, and makes it as large as the frame to come.
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

    private func fill() -> Int {
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer[end...])
        let count = recv(descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
        if count > 0 {
            end += count
            isDrained = count < target.count
        }
        return count
    }

    private static func ending(_ count: Int) -> Step {
        if count == 0 { return .end("the watcher closed the link") }
        switch errno {
        case EAGAIN, EINTR: return .nothing
        default: return .end("the link broke: \(String(cString: strerror(errno)))")
        }
    }
}
