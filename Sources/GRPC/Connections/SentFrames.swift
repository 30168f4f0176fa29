/// Reads what is sent to a client: which streams end, and how many bytes of messages have gone.
struct SentFrames {
    /// What a part of it held.
    struct Part {
        var dataFrames = 0
        var dataBytes = 0
    }

    private var heads = FrameHeadReader()
    private var frame = FrameHead(0, 0)
    private var payloadLeft = 0
    /// What a RST_STREAM says, as far as it has gone.
    private var code: UInt32 = 0

    /// - Parameter ended: told of each stream that ends, and whether it was reset for what the client did.
    mutating func read(
        _ bytes: UnsafeRawBufferPointer, into part: inout Part, ended: (_ stream: UInt32, _ isFault: Bool) -> Void
    ) {
        var offset = 0
        while offset < bytes.count {
            if payloadLeft == 0 {
                guard let head = heads.next(in: bytes, at: &offset) else { return }
                frame = head
                payloadLeft = head.length
                code = 0
                if head.kind == FrameHead.Kind.data { part.dataFrames += 1 }
            }
            let count = min(payloadLeft, bytes.count - offset)
            if frame.kind == FrameHead.Kind.data {
                part.dataBytes += count
            } else if frame.kind == FrameHead.Kind.reset {
                for index in offset..<offset + count { code = code << 8 | UInt32(bytes[index]) }
            }
            offset += count
            payloadLeft -= count
            guard payloadLeft == 0 else { continue }
            switch frame.kind {
            case FrameHead.Kind.reset: ended(frame.stream, code != 0)
            case FrameHead.Kind.data, FrameHead.Kind.headers:
                if frame.endsStream { ended(frame.stream, false) }
            default: break
            }
        }
    }
}
