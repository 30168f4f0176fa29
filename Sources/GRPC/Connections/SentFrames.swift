/// Reads the bytes that are sent to a client: which streams end, and how many bytes of messages were sent. A value.
struct SentFrames {
    /// What some of the bytes held.
    struct Part {
        var dataFrames = 0
        var dataBytes = 0
    }

    private var heads = FrameHeadReader()
    private var frame = FrameHead(0, 0)
    private var payloadLeft = 0
    /// The code of a RST_STREAM, as far as it was sent.
    private var code: UInt32 = 0

    /// - Parameter ended: called for each stream that ends, with whether it was reset because of what the client did.
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
