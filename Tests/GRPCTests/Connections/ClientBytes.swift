import Platform
@testable import GRPC

/// The bytes that a client sends, put together frame by frame.
struct ClientBytes {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static let acknowledgement = frame(FrameHead.Kind.settings, FrameHead.Flags.acknowledges, 0)

    static func frame(_ kind: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8] = []) -> [UInt8] {
        number(payload.count, bytes: 3) + [kind, flags] + number(Int(stream), bytes: 4) + payload
    }

    static func headers(_ stream: UInt32, ends: Bool = false, count: Int = 20) -> [UInt8] {
        let flags = FrameHead.Flags.endHeaders | (ends ? FrameHead.Flags.endStream : 0)
        return frame(FrameHead.Kind.headers, flags, stream, [UInt8](repeating: 0x20, count: count))
    }

    static func data(_ stream: UInt32, _ payload: [UInt8], ends: Bool = false) -> [UInt8] {
        frame(FrameHead.Kind.data, ends ? FrameHead.Flags.endStream : 0, stream, payload)
    }

    /// The first `count` bytes of a gRPC message that announces `length` bytes; by default the whole message.
    static func message(_ length: Int, isCompressed: Bool = false, first count: Int? = nil) -> [UInt8] {
        [isCompressed ? 1 : 0] + number(length, bytes: 4) + [UInt8](repeating: 0x0A, count: count ?? length)
    }

    static func windowUpdate(_ stream: UInt32, by bytes: Int) -> [UInt8] {
        frame(FrameHead.Kind.windowUpdate, 0, stream, number(bytes, bytes: 4))
    }

    static func reset(_ stream: UInt32) -> [UInt8] {
        frame(FrameHead.Kind.reset, 0, stream, number(8, bytes: 4))
    }

    private static func number(_ value: Int, bytes: Int) -> [UInt8] {
        (0..<bytes).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}

extension FrameGuard {
    /// Reads `bytes`, which it may change, in pieces of at most `piece`.
    ///
    /// - Parameter room: how many bytes of unfinished messages there is room for.
    mutating func read(
        _ bytes: inout [UInt8], piece: (Int) -> Int = { $0 }, hasSent: Bool = true, seconds: Double = 0,
        room: Int = .max
    ) -> FrameBreach? {
        var offset = 0
        while offset < bytes.count {
            let count = max(1, min(piece(bytes.count - offset), bytes.count - offset))
            var left = room == .max ? room : room - unfinishedBytes
            let breach = bytes.withUnsafeMutableBytes { raw in
                receive(
                    UnsafeMutableRawBufferPointer(rebasing: raw[offset..<offset + count]), hasSent: hasSent,
                    now: { MonotonicTime(nanoseconds: Int64(seconds * 1e9)) }
                ) { bytes in
                    guard bytes <= left else { return false }
                    left -= bytes
                    return true
                }
            }
            if let breach { return breach }
            offset += count
        }
        return nil
    }

    mutating func read(_ bytes: [UInt8], hasSent: Bool = true, seconds: Double = 0) -> FrameBreach? {
        var copy = bytes
        return read(&copy, hasSent: hasSent, seconds: seconds)
    }
}
