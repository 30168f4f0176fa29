/// The head of an Error: the call ended without a reply. The payload is the whole traceback, UTF-8, maybe empty.
package struct ErrorHead: Sendable, Equatable {
    /// Whether the handler ran.
    package enum Executed: UInt8, Sendable {
        case no = 0
        case maybe = 1
        case yes = 2
    }

    /// A gRPC status code (https://grpc.io/docs/guides/status-codes/), never 0.
    package var code: UInt8
    package var executed: Executed
    package var message: String

    package init(code: UInt8, executed: Executed, message: String) {
        self.code = code
        self.executed = executed
        self.message = message
    }

    package init(head: UnsafeRawBufferPointer) throws(LinkError) {
        var reader = HeadReader(kind: .error, bytes: head)
        code = try reader.read()
        let raw: UInt8 = try reader.read()
        guard (1...16).contains(code), let executed = Executed(rawValue: raw) else {
            throw .malformed(kind: FrameKind.error.rawValue, "code \(code), executed \(raw)")
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
