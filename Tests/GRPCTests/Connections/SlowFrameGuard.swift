@testable import GRPC

/// Finds the verdict of a ``FrameGuard`` in a slow way: it has all bytes, copies each frame, and takes all at one
/// moment.
struct SlowFrameGuard {
    private struct Frame {
        var kind: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]
        /// Whether all of it is there.
        var isWhole = false

        func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
    }

    private(set) var breach: FrameBreach?
    private(set) var unfinishedBytes = 0

    init(_ bytes: [UInt8], _ limits: FrameGuardLimits) {
        var frames: [Frame] = []
        var rest = Array(bytes.dropFirst(24))
        while rest.count >= 9 {
            let length = Self.number(rest[0..<3])
            let head = Frame(
                kind: rest[3], flags: rest[4], stream: UInt32(Self.number(rest[5..<9]) & 0x7FFF_FFFF), payload: [])
            frames.append(head)
            frames[frames.count - 1].payload = Array(rest.dropFirst(9).prefix(length))
            guard rest.count >= 9 + length else { break }
            frames[frames.count - 1].isWhole = true
            rest = Array(rest.dropFirst(9 + length))
        }
        breach = Self.breach(of: frames, limits)
        if breach == nil { unfinishedBytes = Self.unfinished(frames) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    private static func breach(of frames: [Frame], _ limits: FrameGuardLimits) -> FrameBreach? {
        var counts: [UInt8: Int] = [:]
        var acknowledged = false
        var last: UInt32 = 0
        var opened = 0
        var block: (stream: UInt32, frames: Int, bytes: Int)?
        for frame in frames {
            if let open = block, frame.kind != 9 || frame.stream != open.stream { return .continuations }
            counts[frame.kind, default: 0] += 1
            switch frame.kind {
            case 1:
                if frame.stream > last {
                    last = frame.stream
                    opened += 1
                    if !acknowledged, opened > limits.unackedStreams { return .unackedStreams }
                }
                if frame.payload.count > limits.headerBytes { return .headerBytes }
                block = frame.has(4) ? nil : (frame.stream, 0, frame.payload.count)
            case 9:
                guard let open = block else { return .continuations }
                let more = (open.stream, open.frames + 1, open.bytes + frame.payload.count)
                if more.1 > limits.continuations { return .continuations }
                if more.2 > limits.headerBytes { return .headerBytes }
                block = frame.has(4) ? nil : more
            case 3: if counts[3, default: 0] > limits.resets { return .resets }
            case 4 where frame.has(1):
                acknowledged = true
                counts[4, default: 0] -= 1
                counts[6, default: 0] += 1
                if counts[6, default: 0] > limits.control { return .control }
            case 4: if counts[4, default: 0] > limits.control / 10 { return .control }
            case 6: if counts[6, default: 0] > limits.control { return .control }
            case 2: if counts[2, default: 0] > limits.control { return .control }
            case 0 where frame.payload.isEmpty && !frame.has(1):
                counts[100, default: 0] += 1
                if counts[100, default: 0] > limits.emptyData { return .emptyData }
            default: break
            }
        }
        return nil
    }

    /// The sizes of the messages that have begun on open streams and are not whole.
    private static func unfinished(_ frames: [Frame]) -> Int {
        var streams: [UInt32: [UInt8]] = [:]
        var last: UInt32 = 0
        for frame in frames {
            switch frame.kind {
            case 1 where frame.stream > last:
                last = frame.stream
                if !frame.has(1) { streams[frame.stream] = [] }
            case 1 where frame.has(1): streams[frame.stream] = nil
            case 3: streams[frame.stream] = nil
            case 0:
                streams[frame.stream]? += frame.payload
                if frame.has(1), frame.isWhole { streams[frame.stream] = nil }
            default: break
            }
        }
        return streams.values.reduce(0) { sum, bytes in
            var rest = bytes[...]
            while rest.count >= 5 {
                let length = number(rest.dropFirst().prefix(4))
                guard rest.count >= 5 + length else { return sum + length }
                rest = rest.dropFirst(5 + length)
            }
            return sum
        }
    }
}
