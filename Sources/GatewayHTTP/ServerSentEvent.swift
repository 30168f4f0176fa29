internal import Calls
internal import NIOCore
internal import Platform

/// One event as it is sent (https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.6).
struct ServerSentEvent {
    private(set) var buffer: ByteBuffer

    /// An event with this text. Each of its lines is a `data` field.
    init(_ text: ByteBuffer) {
        buffer = ByteBuffer()
        buffer.reserveCapacity(text.readableBytes + 16)
        append(text.readableBytesView)
    }

    /// The event `error`, with the failure as JSON.
    init(_ failure: CallFailure) {
        buffer = ByteBuffer(string: "event: error\n")
        append(JSONText.encode(failure.described).readableBytesView)
    }

    private mutating func append(_ text: ByteBufferView) {
        let (lf, cr) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))
        var rest = text[...]
        while true {
            let end = rest.firstIndex { $0 == lf || $0 == cr } ?? rest.endIndex
            buffer.writeStaticString("data: ")
            buffer.writeBytes(rest[..<end])
            buffer.writeInteger(lf)
            guard end < rest.endIndex else { break }
            var next = rest.index(after: end)
            if rest[end] == cr, next < rest.endIndex, rest[next] == lf { next = rest.index(after: next) }
            rest = rest[next...]
        }
        buffer.writeInteger(lf)
    }
}
