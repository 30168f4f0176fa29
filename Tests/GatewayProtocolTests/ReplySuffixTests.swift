import GatewayProtocol
import SwiftProtobuf
import Testing

@Suite struct ReplySuffixTests {
    @Test(arguments: [0, 1, 127, 128, 300, UInt64(UInt32.max) + 1, .max], [true, false])
    func itIsWhatTheGeneratedCodeReads(request: UInt64, isLast: Bool) throws {
        let suffix = ReplySuffix(request: request, isLast: isLast)
        var bytes = [UInt8](repeating: 0xEE, count: ReplySuffix.bytesMax)
        bytes.withUnsafeMutableBytes { suffix.encode(to: $0) }
        let message = try Pb_Messages(serializedBytes: Array(bytes.prefix(suffix.length)))
        #expect(message.request == request && message.last == isLast && message.output.isEmpty)
        #expect(try message.serializedBytes() == Array(bytes.prefix(suffix.length)))
    }
}
