/// Bytes that lie in several pieces, as a message does when it comes off the network.
package protocol SegmentedBytes: ~Copyable {
    var segmentCount: Int { get }
    /// Valid as long as the value.
    func segment(_ index: Int) -> UnsafeRawBufferPointer
}

/// Finds the fields of an encoded `InvokeServiceRequest` without copying its input.
///
/// As the encoding demands, fields may come in any order, unknown ones are skipped, and of a repeated one the last
/// counts (https://protobuf.dev/programming-guides/encoding/).
package struct InvokeRequestScan: Equatable {
    /// The function's name as it was sent.
    package private(set) var service = ""
    /// Where the input begins in the message, and how many bytes it has.
    package private(set) var inputOffset = 0
    package private(set) var inputCount = 0

    /// A name longer than this is no name; it is kept only so far, for the error that says so.
    package static let serviceBytesMax = 256

    /// - Returns: nil when the bytes are no such message.
    package init?(_ message: borrowing some SegmentedBytes & ~Copyable) {
        var segment = 0
        var current = message.segmentCount > 0 ? message.segment(0) : UnsafeRawBufferPointer(start: nil, count: 0)
        /// Of the current segment.
        var offset = 0
        /// Of the message.
        var position = 0

        func nextByte() -> UInt8? {
            while offset == current.count {
                segment += 1
                guard segment < message.segmentCount else { return nil }
                current = message.segment(segment)
                offset = 0
            }
            defer {
                offset += 1
                position += 1
            }
            return current[offset]
        }

        func varint() -> UInt64? {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while shift < 64 {
                guard let byte = nextByte() else { return nil }
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            return nil
        }

        /// Goes `count` bytes on, copying the first of them into `copy`.
        func advance(_ count: Int, into copy: inout [UInt8], atMost: Int) -> Bool {
            var left = count
            while left > 0 {
                if offset == current.count {
                    segment += 1
                    guard segment < message.segmentCount else { return false }
                    current = message.segment(segment)
                    offset = 0
                    continue
                }
                let step = min(left, current.count - offset)
                let kept = min(step, atMost - copy.count)
                if kept > 0 { copy.append(contentsOf: current[offset..<offset + kept]) }
                offset += step
                position += step
                left -= step
            }
            return true
        }

        var ignored: [UInt8] = []
        while true {
            // The last segments may be empty: so is the data frame that ends a client's stream.
            while offset == current.count {
                guard segment + 1 < message.segmentCount else { return }
                segment += 1
                current = message.segment(segment)
                offset = 0
            }
            guard let key = varint(), key <= UInt64(UInt32.max), key >> 3 != 0 else { return nil }
            switch (key >> 3, key & 7) {
            case (1, 2):
                guard let count = varint(), let length = Int(exactly: count) else { return nil }
                // The common case: the name lies whole in this segment.
                if length <= current.count - offset, length <= Self.serviceBytesMax {
                    service = String(
                        decoding: UnsafeRawBufferPointer(rebasing: current[offset..<offset + length]), as: UTF8.self)
                    offset += length
                    position += length
                } else {
                    var name: [UInt8] = []
                    guard advance(length, into: &name, atMost: Self.serviceBytesMax) else { return nil }
                    service = String(decoding: name, as: UTF8.self)
                }
            case (2, 2):
                guard let count = varint(), let length = Int(exactly: count) else { return nil }
                inputOffset = position
                inputCount = length
                guard advance(length, into: &ignored, atMost: 0) else { return nil }
            case (_, 0):
                guard varint() != nil else { return nil }
            case (_, 1):
                guard advance(8, into: &ignored, atMost: 0) else { return nil }
            case (_, 2):
                guard let count = varint(), let length = Int(exactly: count),
                    advance(length, into: &ignored, atMost: 0)
                else { return nil }
            case (_, 5):
                guard advance(4, into: &ignored, atMost: 0) else { return nil }
            default:
                return nil
            }
        }
    }
}
