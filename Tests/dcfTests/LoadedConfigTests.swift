import ArgumentParser
import FunctionConfig
import SystemPackage
import Testing

@testable import dcf

@Suite struct LoadedConfigTests {
    private func message(_ work: () throws -> Void) -> String {
        #expect(throws: CommandFailure.self, performing: work)?.description ?? ""
    }

    @Test func choosesFunctionsByName() async throws {
        try await withTemporaryFolder { folder in
            let path = folder.appending("c.yaml")
            try path.write("functions:\n  echo:\n  ocr:\n  last:\n")
            let config = try LoadedConfig(path: path.string)
            #expect(try config.functions(named: []).map(\.name.text) == ["echo", "ocr", "last"])
            #expect(try config.functions(named: ["ocr", "echo", "ocr"]).map(\.name.text) == ["ocr", "echo"])
            #expect(
                message { _ = try config.functions(named: ["ecoh"]) }
                    == "\(path) has no function \"ecoh\"; did you mean \"echo\"?")
            #expect(message { _ = try config.functions(named: ["zzz"]) } == "\(path) has no function \"zzz\"")
        }
    }

    @Test func saysWhatIsWrongWithTheFile() async throws {
        try await withTemporaryFolder { folder in
            let path = folder.appending("c.yaml")
            #expect(
                message { _ = try LoadedConfig(path: path.string) }.hasPrefix("there is no \(path); name the config"))
            try path.write("functions:\n")
            #expect(
                message { _ = try LoadedConfig(path: path.string).functions(named: []) }
                    == "\(path) has no functions; \"dcf function init NAME\" adds one")
            try path.write("functons:\n")
            #expect(
                message { _ = try LoadedConfig(path: path.string) }
                    == "\(path):1: unknown key \"functons\" at the top level; did you mean \"functions\"?")
        }
    }

    @Test func aConfigOfAnotherProgramIsIgnored() async throws {
        try await withTemporaryFolder { folder in
            let path = folder.appending("c.yaml")
            // A config.yaml of another program: only its dcf.gateway would count.
            try path.write("theme: dark\nfunctions: 7\n")
            var options = try ConnectionOptions.parse(["-f", path.string])
            #expect(try options.location().source != .config(file: path.string))
            try path.write("theme: dark\ndcf: {gateway: h:5}\n")
            #expect(try options.location().address == "h:5")
            options = try ConnectionOptions.parse(["-f", path.string, "-g", "g:6"])
            #expect(try options.location().address == "g:6")
        }
    }
}
