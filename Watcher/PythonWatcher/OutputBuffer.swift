import Glibc
import WatcherLink

/// Finished frames that wait to be written together.
struct OutputBuffer: ~Copyable {
    /// Payloads up to this length are copied, longer ones are written from where they lie.
    static let copyLimit = 16 << 10
    /// From this fill on the buffer should be written.
    static let highWater = 64 << 10
    /// A frame that is copied fits beside a buffer that is not yet over the mark.
    private static let capacity = highWater + copyLimit + FrameHeader.headAllowance + FrameHeader.size

    private let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    private(set) var count = 0
    /// When the oldest frame came, on MonotonicClock.
    private(set) var oldestNanos: Int64 = 0

    deinit {
        memory.deallocate()
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: count) }

    /// Adds a frame's header and head.
    mutating func append(_ header: FrameHeader, head: UnsafeRawBufferPointer, at nowNanos: Int64) {
        if count == 0 { oldestNanos = nowNanos }
        header.encode(to: memory + count)
        count += FrameHeader.size
        append(head)
    }

    /// Adds the head of a reply without metadata, and its header.
    mutating func appendPlainReply(id: UInt64, isText: Bool, payloadLength: Int, at nowNanos: Int64) {
        if count == 0 { oldestNanos = nowNanos }
        let target = memory + count
        let header = FrameHeader(
            kind: .reply, flags: isText ? .text : .none, id: id, headLength: 2, payloadLength: payloadLength)
        header.encode(to: target)
        target.storeBytes(of: 0, toByteOffset: FrameHeader.size, as: UInt16.self)
        count += FrameHeader.size + 2
    }

    /// Adds bytes of at most ``copyLimit``, or a head.
    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        memcpy(memory + count, source, bytes.count)
        count += bytes.count
    }

    mutating func clear() {
        count = 0
    }
}
