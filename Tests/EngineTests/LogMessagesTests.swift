@testable import Engine
import Testing

@Suite struct LogMessagesTests {
    private static let details = "com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id=t1 "

    private func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return [stream, 0, 0, 0, 0, 0, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
    }

    @Test(arguments: [1, 3, 1_000])
    func messagesAreCompleteHoweverTheBytesAreCut(step: Int) {
        let bytes = frame(1, Self.details + "a b\n") + frame(2, Self.details + "c\n") + frame(1, "")
        var messages = LogMessages()
        var found: [SwarmLogLine] = []
        for start in stride(from: 0, to: bytes.count, by: step) {
            messages.feed(bytes[start..<min(start + step, bytes.count)]) { output, message in
                if let line = SwarmLogLine(message: message, output: output) { found.append(line) }
            }
        }
        #expect(
            found == [
                SwarmLogLine(task: "t1", output: .standardOutput, text: Array("a b\n".utf8)),
                SwarmLogLine(task: "t1", output: .standardError, text: Array("c\n".utf8)),
            ])
    }

    @Test func aMessageWithoutDetailsIsSkipped() {
        #expect(SwarmLogLine(message: Array("just a line\n".utf8), output: .standardOutput) == nil)
    }
}
