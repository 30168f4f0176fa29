import Calls
@testable import GatewayHTTP
import NIOCore
import Platform
import Testing

@Suite struct ServerSentEventTests {
    @Test(arguments: [
        ("hello", "data: hello\n\n"),
        ("", "data: \n\n"),
        ("a\nb", "data: a\ndata: b\n\n"),
        ("a\r\nb", "data: a\ndata: b\n\n"),
        ("a\rb", "data: a\ndata: b\n\n"),
        ("a\n", "data: a\ndata: \n\n"),
        ("\r\n\r", "data: \ndata: \ndata: \n\n"),
        (" é", "data:  é\n\n"),
    ])
    func linesAreFields(_ text: String, _ wire: String) {
        #expect(String(buffer: ServerSentEvent(ByteBuffer(string: text)).buffer) == wire)
    }

    @Test func aFailureIsJSON() {
        let failure = CallFailure(.unknown, executed: .yes, "ValueError: \"no\"\nsee the log")
        #expect(
            String(buffer: ServerSentEvent(failure).buffer)
                == "event: error\ndata: {\"code\":\"UNKNOWN\",\"executed\":\"yes\",\"message\":\"ValueError: \\\"no\\\"\\nsee the "
                + "log\"}\n\n")
    }
}

@Suite struct HTTPDateTests {
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
    ])
    func isWrittenAsTheStandardSays(_ second: Int, _ text: String) {
        #expect(HTTPDate.text(second) == text)
    }
}
