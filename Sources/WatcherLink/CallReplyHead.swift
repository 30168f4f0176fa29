/// The head of CallReply. With code 0 the payload is the other function's reply, otherwise it is empty.
package struct CallReplyHead: Sendable, Equatable {
    /// A status code (https://grpc.io/docs/guides/status-codes/), see ``LinkStatusCode``.
    package var code: UInt8
    package var executed: ErrorHead.Executed
    /// Why there is no reply; empty with code 0.
    package var message: String

    package init(code: UInt8, executed: ErrorHead.Executed, message: String) {
        self.code = code
        self.executed = executed
        self.message = message
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .callReply, bytes: head)
        code = try reader.read()
        let raw: UInt8 = try reader.read()
        guard code <= 16, let executed = ErrorHead.Executed(rawValue: raw) else {
            throw .malformed(kind: FrameKind.callReply.rawValue, "code \(code), executed \(raw)")
        }
        self.executed = executed
        message = try reader.readString()
    }

    package var head: [UInt8] {
        var writer = HeadWriter()
        writer.write(code)
        writer.write(executed.rawValue)
        writer.write(message)
        return writer.bytes
    }
}
