import FunctionConfig
import SystemPackage
import Testing

@testable import dcf

@Suite struct HandlerCheckTests {
    /// The message for a handler file with this text, or nil if the file is fine.
    private func message(for handler: String, name: String = "Handler") async throws -> String? {
        try await withTemporaryFolder { folder in
            try folder.appending("handler.py").write(handler)
            let text = "functions:\n  f:\n    handler:\n      name: \(name)\n"
            let function = try #require(try ConfigFile.parse(yaml: text, fileName: "c.yaml").functions.first)
            let check = HandlerCheck(function: function, directory: folder)
            do throws(CommandFailure) {
                try check.requireFiles()
                try await check.requireSyntax(python: "/usr/bin/python3")
                return nil
            } catch {
                return error.description.replacing("\(folder)/", with: "")
            }
        }
    }

    @Test(arguments: [
        "class Handler:\n    pass\n", "def Handler(req):\n    return b''\n", "from base import Handler\n",
        "from base import *\n", "import base as Handler\n", "Handler = print\n",
        "try:\n    from fast import Handler\nexcept ImportError:\n    class Handler: pass\n",
        "raise ValueError('it is not run')\nclass Handler: pass\n",
    ])
    func accepts(_ handler: String) async throws {
        #expect(try await message(for: handler) == nil)
    }

    @Test func showsTheLineOfASyntaxError() async throws {
        let text = try await message(for: "class Handler:\n    def __call__(self, req)\n        return 1\n")
        #expect(text?.hasPrefix("handler.py:2: SyntaxError: ") == true, "\(text ?? "")")
        #expect(text?.contains("\n    def __call__(self, req)\n") == true)
        #expect(try await message(for: "return 1\n")?.hasPrefix("handler.py:1: SyntaxError: 'return' outside") == true)
        #expect(try await message(for: "a = '\0'\n")?.contains("null byte") == true)
    }

    @Test func namesTheNearestClass() async throws {
        #expect(
            try await message(for: "class Hander: pass\ndef other(): pass\n")
                == "c.yaml:4: handler.py defines no class or function Handler; did you mean \"Hander\"? "
                + "Set handler.name to it, or rename it")
        #expect(
            try await message(for: "", name: "Echo")
                == "c.yaml:4: handler.py defines no class or function Echo; set handler.name to a class or function in this file"
        )
    }

    @Test func namesWhatIsMissing() async throws {
        try await withTemporaryFolder { folder in
            let text = "functions:\n  f:\n    handler:\n      dir: code\n"
            let config = folder.appending("config.yaml")
            try config.write(text)
            let loaded = try LoadedConfig(path: config.string)
            let missing = #expect(throws: CommandFailure.self) {
                try loaded.check(loaded.functions(named: []), as: DeployKinds(standard: .process))
            }
            #expect(
                missing?.description
                    == "\(config):4: functions.f.handler.dir: there is no folder \(folder)/code")
            try folder.appending("code").write("")
            let file = #expect(throws: CommandFailure.self) {
                try loaded.check(loaded.functions(named: []), as: DeployKinds(standard: .process))
            }
            #expect(file?.description.hasSuffix("code is not a folder") == true)
        }
    }
}
