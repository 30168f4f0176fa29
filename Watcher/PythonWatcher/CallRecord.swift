import Glibc
import WatcherLink

/// A frame with a long life outside the input buffer, in memory of its own: a call that has not begun, or the answer to
/// a call of the handler's. Its body follows the structure. Nothing of Python is in it, so it needs no GIL.
struct CallRecord {
    var kind: UInt8
    var flags: FrameFlags
    var id: UInt64
    var headLength: Int
    var payloadLength: Int
    /// Bytes of the body that have come.
    var filled = 0
    /// When the caller stops waiting, on MonotonicClock; 0 means never.
    var deadlineNanos: Int64 = 0
    /// When its last bytes came.
    var receivedNanos: Int64 = 0
    /// The number of the batch that it belongs to; 0 for a call alone.
    var batch: UInt64 = 0

    /// Room for a frame with this header; nil when there is no memory. It ends with `deallocate`.
    static func make(_ header: FrameHeader) -> UnsafeMutablePointer<CallRecord>? {
        guard let memory = malloc(MemoryLayout<CallRecord>.stride + header.bodyLength) else { return nil }
        let record = memory.assumingMemoryBound(to: CallRecord.self)
        record.initialize(
            to: CallRecord(
                kind: header.kind, flags: header.flags, id: header.id, headLength: header.headLength,
                payloadLength: header.payloadLength))
        return record
    }
}

extension UnsafeMutablePointer<CallRecord> {
    private var body: UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(self) + MemoryLayout<CallRecord>.stride
    }

    var head: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: body, count: pointee.headLength) }

    var payload: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: body + pointee.headLength, count: pointee.payloadLength)
    }

    /// Where the rest of the body goes; empty once it is whole.
    var rest: UnsafeMutableRawBufferPointer {
        let length = pointee.headLength + pointee.payloadLength
        return UnsafeMutableRawBufferPointer(start: body + pointee.filled, count: length - pointee.filled)
    }

    func release() {
        free(self)
    }
}
