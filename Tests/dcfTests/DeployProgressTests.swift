import SystemPackage
import Testing

@testable import dcf

@Suite struct DeployProgressTests {
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
            DeployProgress.atHome(traceback, of: "ocr", in: "./ocr") == """
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

    @Test func theFirstLineOfAFailure() {
        #expect(CommandFailure("one\ntwo").firstLine == CommandFailure("one"))
        #expect(CommandFailure("one").firstLine == CommandFailure("one"))
    }

    @Test func aFileThatNothingImportsIsNamed() async throws {
        try await withTemporaryFolder { folder in
            #expect(HandlerCheck.hidden(in: folder) == nil)
            try folder.appending("dcf.py").write("")
            #expect(HandlerCheck.hidden(in: folder) == folder.appending("dcf.py"))
        }
    }
}
