import ArgumentParser
import GatewayProtocol
import Synchronization
import Testing

@testable import dcf

@Suite struct ConsoleTests {
    @Test func tableIsAligned() {
        var table = Table(header: ["Name", "Count", "What"])
        table.add(["echo", "1", ""])
        table.add(["long-name", "12345", "다시 말하기"])
        table.add(["한글", "1", "evil\u{1B}[31m\n"])
        #expect(
            table.text == """
                Name       Count  What
                echo       1
                long-name  12345  다시 말하기
                한글       1      evil?[31m?

                """)
    }

    @Test func listShowsTheColumnsOfTheContract() {
        var function = Pb_Function()
        function.name = "echo"
        function.image = "echo"
        function.invocationCount = 7
        function.replicas = 2
        function.availableReplicas = 1
        function.status = "Degraded"
        function.maintainer = "me"
        function.description_p = "says it again"
        #expect(
            FunctionList.table(of: [function]).text == """
                Function  Image  Maintainer  Invocations  Replicas  Status    Description
                echo      echo   me          7            1/2       Degraded  says it again

                """)
        #expect(
            FunctionList.table(of: []).text
                == "Function  Image  Maintainer  Invocations  Replicas  Status  Description\n")
    }

    @Test func aListShowsWhyAFunctionIsNotReady() {
        var functions = [Pb_Function(), Pb_Function(), Pb_Function()]
        (functions[0].name, functions[0].reason) = ("a", "ValueError: bad weights (handler.py:3); next try in 12 s")
        (functions[1].name, functions[1].reason) = ("b", "pip ended with 1:\n  no network\n  gave up; next try in 3 s")
        functions[2].name = "c"
        #expect(
            FunctionList.text(of: functions) == FunctionList.table(of: functions).text + """

                a: ValueError: bad weights (handler.py:3); next try in 12 s
                b: pip ended with 1: ...; next try in 3 s

                """)
        #expect(FunctionList.text(of: [functions[2]]) == FunctionList.table(of: [functions[2]]).text)
    }

    @Test func aDigestDoesNotWidenTheTable() {
        var function = Pb_Function()
        function.name = "f"
        function.image = "registry.example:5000/me/f@sha256:" + String(repeating: "0123456789abcdef", count: 4)
        let text = FunctionList.table(of: [function]).text
        #expect(text.contains(" registry.example:5000/me/f@sha256:0123456789ab "))
        #expect(!text.contains("0123456789abcdef"))
        #expect(FunctionSheet(function).text.contains(function.image))
    }

    @Test(arguments: [
        ("plain", "plain"), ("\u{1B}[91mred\u{1B}[0m", "red"), ("a\u{1B}[2K\u{1B}[1;31mb", "ab"), ("\u{1B}", ""),
        ("\u{1B}[", ""), ("\u{1B}[91", ""),
    ])
    func aFileGetsNoColours(text: String, plain: String) {
        #expect(text.withoutTerminalCodes == plain)
        let written = Mutex("")
        let line = ProgressLine(isTerminal: false) { text in written.withLock { $0 += text } }
        line.line(text)
        #expect(written.withLock { $0 } == plain + "\n")
    }

    @Test func infoShowsAllFacts() throws {
        var function = Pb_Function()
        function.name = "echo"
        function.status = "Failed"
        function.reason = "ValueError: x\n  at handler.py"
        function.config = "runtime: python3\n"
        var replica = Pb_Replica()
        replica.number = 1
        replica.state = "Waiting"
        replica.version = 4
        function.instances = [replica]
        function.traffic = try ["3=90", "4=10"].map { try FunctionTraffic.share($0) }
        function.minReplicas = 0
        function.maxReplicas = 4
        #expect(
            FunctionSheet(function).text == """
                Name:         echo
                Status:       Failed
                Reason:       ValueError: x
                                at handler.py
                Invocations:  0
                Replicas:     0 of 0 available
                Range:        0 to 4 replicas, by the load
                Traffic:      version 3 gets 90 %, version 4 gets 10 % of the calls

                Version  Replica  Process  State    Restarts  Ready for  Constructor
                4        1        -        Waiting  0         -          -

                Config:
                  runtime: python3

                """)
    }

    @Test func versionsAreATable() {
        let versions = (UInt64(3)...4).map { number in
            var version = Pb_FunctionVersion()
            version.version = number
            version.created = 1_767_323_045_678
            version.weight = number == 3 ? 90 : 10
            version.replicas = 2
            version.availableReplicas = number == 3 ? 2 : 1
            version.status = number == 3 ? "Ready" : "Degraded"
            version.reason = number == 3 ? "" : "signal 9 (SIGKILL)"
            return version
        }
        #expect(
            FunctionVersions.table(of: versions).text == """
                Version  Created               Traffic  Replicas  Status
                3        2026-01-02T03:04:05Z  90 %     2         Ready
                4        2026-01-02T03:04:05Z  10 %     1/2       Degraded: signal 9 (SIGKILL)

                """)
    }

    @Test(arguments: ["3", "3=", "=90", "3=101", "3=-1", "0=100", "3=90=1", "a=b", "", "3=1.5"])
    func refusesBadShares(text: String) {
        #expect(throws: ValidationError.self) { try FunctionTraffic.share(text) }
    }

    @Test func replicasAreANumberOrARange() {
        #expect(ReplicaCount(argument: "4").map { [$0.least, $0.most] } == [4, 4])
        #expect(ReplicaCount(argument: "0..4").map { [$0.least, $0.most] } == [0, 4])
        for text in ["", "..", "1..", "..4", "1...4", "-1", "a", "1..b"] {
            #expect(ReplicaCount(argument: text) == nil, "\(text)")
        }
    }

    private func progress(isTerminal: Bool) -> String {
        let written = Mutex("")
        let line = ProgressLine(isTerminal: isTerminal) { text in written.withLock { $0 += text } }
        line.step("one")
        line.step("two")
        line.line("pip says")
        line.clear()
        return written.withLock { $0 }
    }

    @Test func progressOverwritesItselfOnlyOnATerminal() {
        #expect(progress(isTerminal: false) == "one\ntwo\npip says\n")
        #expect(progress(isTerminal: true) == "\r\u{1B}[Kone\r\u{1B}[Ktwo\r\u{1B}[Kpip says\n")
    }
}
