/// Bytes that lie in one segment or in several, for example a message as it was received.
package protocol SegmentedBytes: ~Copyable {
    var segmentCount: Int { get }
    /// The bytes of one segment, valid as long as the value.
    func segment(_ index: Int) -> UnsafeRawBufferPointer
}

/// The fields of an encoded `InvokeServiceRequest`, found without a copy of its input. A value.
///
/// As the encoding demands, the fields may come in any order, unknown fields are skipped, and of a repeated field the
/// last one counts (https://protobuf.dev/programming-guides/encoding/).
package struct InvokeRequestScan: Equatable {
    /// The function's name as it was sent.
    package private(set) var service = ""
    /// Where the input begins in the message.
    package private(set) var inputOffset = 0
    /// How many bytes the input has.
    package private(set) var inputCount = 0

    /// A longer text is not a name. Only this many bytes of it are kept, for the error.
    package static let serviceBytesMax = 256

    /// Reads a message; nil when the bytes are not an `InvokeServiceRequest`.
    package init?(_ message: borrowing some SegmentedBytes & ~Copyable) {
        var reader = SegmentReader(message)
        while !reader.isAtEnd(of: message) {
            guard let key = reader.varint(of: message), key <= UInt64(UInt32.max), key >> 3 != 0 else { return nil }
            switch (key >> 3, key & 7) {
            case (1, 2):
                guard let length = reader.length(of: message),
                    let name = reader.text(length, atMost: Self.serviceBytesMax, of: message)
                else { return nil }
                service = name
            case (2, 2):
                guard let length = reader.length(of: message) else { return nil }
                inputOffset = reader.position
                inputCount = length
                guard reader.skip(length, of: message) else { return nil }
            case (_, 0):
                guard reader.varint(of: message) != nil else { return nil }
            case (_, 1):
                guard reader.skip(8, of: message) else { return nil }
            case (_, 2):
                guard let length = reader.length(of: message), reader.skip(length, of: message) else { return nil }
            case (_, 5):
                guard reader.skip(4, of: message) else { return nil }
            default:
                return nil
            }
        }
    }
}

/// Reads a message from its first byte to its last, across its segments. Each call gets the message again: a value
/// cannot keep a message that it borrows.
private struct SegmentReader {
    private var current: UnsafeRawBufferPointer
    private var segment = 0
    /// The next byte in the current segment.
    private var offset = 0
    /// The next byte in the message.
    private(set) var position = 0

    init(_ message: borrowing some SegmentedBytes & ~Copyable) {
        current = message.segmentCount > 0 ? message.segment(0) : UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// Moves past empty segments. The last segments may be empty: the data frame that ends a client's stream is.
    @inline(__always)
    mutating func isAtEnd(of message: borrowing some SegmentedBytes & ~Copyable) -> Bool {
        while offset == current.count {
            guard segment + 1 < message.segmentCount else { return true }
            segment += 1
            current = message.segment(segment)
            offset = 0
        }
        return false
    }

    @inline(__always)
    private mutating func byte(of message: borrowing some SegmentedBytes & ~Copyable) -> UInt8? {
        guard !isAtEnd(of: message) else { return nil }
        defer {
            offset += 1
            position += 1
        }
        return current[offset]
    }

    /// A number of up to 64 bits; nil when the message ends before it does.
    mutating func varint(of message: borrowing some SegmentedBytes & ~Copyable) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
            guard let byte = byte(of: message) else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    /// The length of a field.
    mutating func length(of message: borrowing some SegmentedBytes & ~Copyable) -> Int? {
        varint(of: message).flatMap { Int(exactly: $0) }
    }

    /// Goes `count` bytes on; false when the message has fewer.
    mutating func skip(_ count: Int, of message: borrowing some SegmentedBytes & ~Copyable) -> Bool {
        var left = count
        while left > 0 {
            guard !isAtEnd(of: message) else { return false }
            let step = min(left, current.count - offset)
            offset += step
            position += step
            left -= step
        }
        return true
    }

    /// A text of `length` bytes, of which `most` are kept; nil when the message has fewer.
    mutating func text(
        _ length: Int, atMost most: Int, of message: borrowing some SegmentedBytes & ~Copyable
    ) -> String? {
        // The common case: the text lies in this segment as a whole.
        if length <= current.count - offset, length <= most {
            defer {
                offset += length
                position += length
            }
            return String(
                decoding: UnsafeRawBufferPointer(rebasing: current[offset..<offset + length]), as: UTF8.self)
        }
        var bytes: [UInt8] = []
        var left = length
        while left > 0 {
            guard !isAtEnd(of: message) else { return nil }
            let step = min(left, current.count - offset)
            let kept = min(step, most - bytes.count)
            if kept > 0 { bytes.append(contentsOf: current[offset..<offset + kept]) }
            offset += step
            position += step
            left -= step
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The bytes before a reply in an encoded `Message` or `Messages`. Both messages hold the reply in field 1, so one
/// encoding serves both.
package enum ReplyPrefix {
    /// The most bytes that a prefix has.
    package static let bytesMax = 11

    /// Writes the prefix of a reply of `count` bytes. An empty reply has no prefix.
    ///
    /// - Returns: the length of the prefix.
    package static func encode(count: Int, to target: UnsafeMutableRawBufferPointer) -> Int {
        guard count > 0 else { return 0 }
        target[0] = 0x0A
        var length = 1
        var left = UInt64(count)
        while left >= 0x80 {
            target[length] = UInt8(left & 0x7F) | 0x80
            left >>= 7
            length += 1
        }
        target[length] = UInt8(left)
        return length + 1
    }

    /// The length of the prefix of a reply of `count` bytes.
    package static func length(count: Int) -> Int {
        guard count > 0 else { return 0 }
        return 1 + (64 - UInt64(count).leadingZeroBitCount + 6) / 7
    }
}

/// The bytes after a reply in an encoded `Messages` of a stream: which request the reply answers, and whether it is the
/// last message of that request. As the encoding demands, a field with its default value is left out. A value.
package struct ReplySuffix: Sendable, Equatable {
    /// The most bytes that a suffix has.
    package static let bytesMax = 15

    package var request: UInt64
    package var isLast: Bool

    package init(request: UInt64, isLast: Bool) {
        self.request = request
        self.isLast = isLast
    }

    /// The length of the suffix in bytes.
    package var length: Int {
        var length = isLast ? 3 : 0
        if request > 0 { length += 2 + (64 - request.leadingZeroBitCount + 6) / 7 }
        return length
    }

    /// Writes the suffix to the beginning of `target`.
    package func encode(to target: UnsafeMutableRawBufferPointer) {
        var offset = 0
        if request > 0 {
            target[0] = 0xA0
            target[1] = 0x06
            offset = 2
            var left = request
            while left >= 0x80 {
                target[offset] = UInt8(left & 0x7F) | 0x80
                left >>= 7
                offset += 1
            }
            target[offset] = UInt8(left)
            offset += 1
        }
        if isLast {
            target[offset] = 0xA8
            target[offset + 1] = 0x06
            target[offset + 2] = 0x01
        }
    }
}
