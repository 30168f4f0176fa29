import Glibc
import WatcherLink

/// A frame that is kept in memory of its own, outside the input buffer: a call that has not begun, or the answer to a
/// call that the handler made. Its body follows the structure. It holds no Python objects, so it needs no GIL.
struct CallRecord {
    var kind: UInt8
    var flags: FrameFlags
    var id: UInt64
    var headLength: Int
    var payloadLength: Int
    /// How many bytes of the body have come.
    var filled = 0
    /// The caller's deadline, on MonotonicClock; 0 means none.
    var deadlineNanos: Int64 = 0
    /// When the last bytes came.
    var receivedNanos: Int64 = 0
    /// The number of the batch that the call belongs to; 0 for a single call.
    var batch: UInt64 = 0

    /// Allocates a record for a frame with this header; nil when there is no memory. Ends with `release`.
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

    /// The memory for the rest of the body; empty once the body is whole.
    var rest: UnsafeMutableRawBufferPointer {
        let length = pointee.headLength + pointee.payloadLength
        return UnsafeMutableRawBufferPointer(start: body + pointee.filled, count: length - pointee.filled)
    }

    func release() {
        free(self)
    }
}
