@testable import Engine
import Testing

@Suite struct AttachAnswerTests {
    @Test func returnsTheBytesAfterTheHead() throws {
        let text = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nabc"
        for cut in 0...text.utf8.count {
            var answer = AttachAnswer(what: "x")
            var rest: [UInt8] = []
            for part in [Array(text.utf8.prefix(cut)), Array(text.utf8.dropFirst(cut))] {
                if answer.isComplete { rest += part } else { rest += try answer.feed(part) ?? [] }
            }
            #expect(answer.isComplete)
            #expect(rest == Array("abc".utf8))
        }
    }

    @Test(arguments: [
        ("HTTP/1.1 404 Not Found\r\n\r\n{\"message\":\"No such container: 1\"}", "x: No such container: 1"),
        ("HTTP/1.1 500 Oh\r\n\r\n", "x: HTTP/1.1 500 Oh"), ("SSH-2.0\r\n\r\n", "x: the answer is not HTTP: SSH-2.0"),
    ])
    func throwsTheEnginesError(text: String, says: String) {
        var answer = AttachAnswer(what: "x")
        #expect { _ = try answer.feed(Array(text.utf8)) } throws: { "\($0)" == says }
    }
}
