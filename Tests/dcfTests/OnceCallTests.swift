import FunctionConfig
import SystemPackage
import Testing

@testable import dcf

@Suite struct OnceCallTests {
    @Test func theWatcherGetsTheSameSettingsAsFromAGateway() throws {
        let text = """
            functions:
              echo:
                handler: {file: main.py, name: Echo}
                environment: [LANG=xx, A=1]
                parameters: {a: [1, "x"]}
                limits: {memory: 1G, cpu: 0.5}
                timeout: {call: 500ms}
                batch: {max_size: 4}
                warmup: {file: first.bin}
            """
        let function = try #require(try ConfigFile.parse(yaml: text, fileName: "c").functions.first)
        let call = OnceCall(function: function, directory: "/f", python: "/usr/bin/python3")
        let variables = call.variables(
            inherited: [
                "PATH": "/bin", "LANG": "C", "SECRET": "x", "https_proxy": "p", "NO_PROXY": "n",
                "CUDA_VISIBLE_DEVICES": "0",
                "LC_ALL": "C.UTF-8", "PYTHONPATH": "/x", "TMPDIR": "/y",
            ],
            folder: "/real/f")
        #expect(
            variables == [
                "PATH": "/bin", "LANG": "xx", "A": "1", "https_proxy": "p", "NO_PROXY": "n",
                "CUDA_VISIBLE_DEVICES": "0", "LC_ALL": "C.UTF-8", "TMPDIR": "/y", "OMP_NUM_THREADS": "1",
                "HANDLER_DIR": "/real/f",
                "HANDLER_FILE": "main.py",
                "HANDLER_NAME": "Echo",
                "DCF_CONFIG": #"{"name":"echo","version":0,"parameters":{"a":[1,"x"]},"#
                    + #""timeout":{"call":0.5,"start":60.0},"limits":{"memory":1073741824,"cpu":0.5,"gpu":0},"#
                    + #""batch":{"max_size":4,"retry":true},"warmup":{"file":"first.bin"}}"#,
            ])
    }

    @Test func environmentsLieInTheCacheFolder() throws {
        #expect(try LocalEnvironments.folder(cacheHome: "/c", home: "/h") == "/c/dcf")
        #expect(try LocalEnvironments.folder(cacheHome: nil, home: "/h") == "/h/.cache/dcf")
        #expect(try LocalEnvironments.folder(cacheHome: "relative", home: "/h") == "/h/.cache/dcf")
        #expect(throws: CommandFailure.self) { try LocalEnvironments.folder(cacheHome: nil, home: nil) }
    }

    @Test func aRelativePythonIsSentAsAFullPath() async throws {
        try await withTemporaryFolder { folder in
            let path = folder.appending("c.yaml")
            try path.write("functions:\n  a: {python: ./venv}\n  b: {python: gone/venv}\n  c: {python: 3.12}\n")
            try folder.appending("venv").write("")
            let config = try LoadedConfig(path: path.string)
            let sent = config.file.functions.map { config.withFullPath($0) }
            #expect(sent.map(\.python) == [folder.real.appending("venv").string, "gone/venv", "3.12"])
            #expect(sent[0].yaml == "python: \"\(folder.real)/venv\"\n")
        }
    }
}
