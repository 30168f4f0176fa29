import GatewayProtocol
import SystemPackage
import Testing

@testable import dcf

@Suite struct DeployEventPrinterTests {
    @Test func aTracebackNamesTheAuthorsFiles() {
        let traceback = """
            Traceback (most recent call last):
              File "/var/lib/dcf/functions/ocr/12/app/handler.py", line 3, in __init__
                raise OSError("/var/lib/dcf/functions/ocr/12/weights")
              File "/usr/lib/python3.11/json/decoder.py", line 1, in decode
              | File "/dcf/handler/parts.py", line 2, in load
              File "/srv/functions/other/1/x.py", line 2, in load
              File "/srv/functions/ocr/latest/x.py", line 2, in load
            OSError: File "/dcf/handler/x.py"
            """
        #expect(
            DeployEventPrinter.withLocalPaths(traceback, of: "ocr", in: "./ocr") == """
                Traceback (most recent call last):
                  File "./ocr/app/handler.py", line 3, in __init__
                    raise OSError("/var/lib/dcf/functions/ocr/12/weights")
                  File "/usr/lib/python3.11/json/decoder.py", line 1, in decode
                  | File "./ocr/parts.py", line 2, in load
                  File "/srv/functions/other/1/x.py", line 2, in load
                  File "/srv/functions/ocr/latest/x.py", line 2, in load
                OSError: File "/dcf/handler/x.py"
                """)
    }

    @Test func findsAFileThatCannotBeImported() async throws {
        try await withTemporaryFolder { folder in
            #expect(HandlerCheck.hidden(in: folder) == nil)
            try folder.appending("dcf.py").write("")
            #expect(HandlerCheck.hidden(in: folder) == folder.appending("dcf.py"))
        }
    }

    private let traceback = (1...20).map { "  line \($0)" }.joined(separator: "\n") + "\nValueError: 1"

    private func printer(showing traceback: String?) -> DeployEventPrinter {
        var printer = DeployEventPrinter(
            function: "f", directory: "./f", isVerbose: false, line: ProgressLine(isTerminal: false, write: { _ in }))
        guard let traceback else { return printer }
        var event = Pb_DeployEvent()
        event.traceback = traceback
        _ = printer.show(event)
        return printer
    }

    @Test func aShownTracebackIsNotRepeated() {
        let end = traceback.split(separator: "\n").suffix(12).joined(separator: "\n")
        let message = "function \"f\" did not start: ValueError: 1\n\(end)\nThe last that it said:\n  loading"
        #expect(
            printer(showing: traceback).withoutShownTracebacks(message)
                == "function \"f\" did not start: ValueError: 1\nThe last that it said:\n  loading")
        #expect(printer(showing: nil).withoutShownTracebacks(message) == message)
        #expect(
            printer(showing: traceback).withoutShownTracebacks("something else\nin two lines")
                == "something else\nin two lines")
        #expect(printer(showing: "").withoutShownTracebacks(message) == message)
    }
}
