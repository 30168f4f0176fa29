@testable import ControlPlane
import Testing

@Suite struct TemplateMessageTests {
    private func report(_ text: String) -> TemplateReport? { TemplateReport(Array(text.utf8)) }

    @Test func requests() {
        let fork = TemplateRequest.fork(number: 7, cpus: [1, 3], variables: ["B": "two=2", "A": "words in a row"])
        #expect(fork.bytes == Array("fork\u{0}7\u{0}1,3\u{0}A=words in a row\u{0}B=two=2".utf8))
        #expect(TemplateRequest.fork(number: 1, cpus: [], variables: [:]).bytes == Array("fork\u{0}1\u{0}".utf8))
        #expect(TemplateRequest.reap(pid: 4711).bytes == Array("reap\u{0}4711".utf8))
    }

    @Test func reports() {
        #expect(report("ready") == .ready)
        #expect(
            report("refused\0why: so\0Traceback\n  a line\n")
                == .refused(ConstructorFailure(summary: "why: so", traceback: "Traceback\n  a line\n")))
        #expect(report("refused\0why\0") == .refused(ConstructorFailure(summary: "why", traceback: "")))
        #expect(report("forked\0007\0004711") == .forked(number: 7, pid: 4711))
        #expect(report("failed\0007\0fork: no room") == .failed(number: 7, reason: "fork: no room"))
        #expect(report("ended\0004711\0009") == .ended(pid: 4711, status: 9))
    }

    /// The gateway sends signals to the process ID in a report, so only a valid ID is accepted.
    @Test(arguments: [
        "", "ready\0now", "refused\0why", "forked\0007", "forked\0007\0", "forked\0007\0001", "forked\0007\0000",
        "forked\0007\000-5", "forked\0x\0004711", "failed\0x\0why", "ended\0x\0000", "ended\0004711\0x", "reaped\0001",
    ])
    func whatNoTemplateSays(_ text: String) {
        #expect(report(text) == nil)
    }
}
