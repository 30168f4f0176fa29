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

    @Test func infoShowsWhatIsKnown() {
        var function = Pb_Function()
        function.name = "echo"
        function.status = "Failed"
        function.reason = "ValueError: x\n  at handler.py"
        function.config = "runtime: python3\n"
        var replica = Pb_Replica()
        replica.number = 1
        replica.state = "Waiting"
        function.instances = [replica]
        #expect(
            FunctionSheet(function).text == """
                Name:         echo
                Status:       Failed
                Reason:       ValueError: x
                                at handler.py
                Invocations:  0
                Replicas:     0 of 0 available

                Replica  Process  State    Restarts  Ready for  Constructor
                1        -        Waiting  0         -          -

                Config:
                  runtime: python3

                """)
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

    @Test func progressOverwritesItselfOnATerminalAlone() {
        #expect(progress(isTerminal: false) == "one\ntwo\npip says\n")
        #expect(progress(isTerminal: true) == "\r\u{1B}[Kone\r\u{1B}[Ktwo\r\u{1B}[Kpip says\n")
    }
}
