import ArgumentParser
import FunctionConfig
import Glibc
import SystemPackage
import Testing

@testable import dcf

@Suite struct FunctionInitTests {
    private func initialize(_ arguments: String...) throws {
        var command = try DCF.parseAsRoot(["function", "init"] + arguments)
        try command.run()
    }

    @Test func makesAFunctionThatIsValid() async throws {
        try await withTemporaryFolder { folder in
            let config = folder.appending("config.yaml")
            try config.write("# mine\nfunctions:\n  old:\n    desc: kept # too\n")
            try initialize("new", "--runtime", "python3", "-f", config.string)
            let text = try config.read()
            #expect(text.hasPrefix("# mine\nfunctions:\n  old:\n    desc: kept # too\n  new:\n    runtime: python3\n"))
            let loaded = try LoadedConfig(path: config.string)
            let new = try #require(try loaded.functions(named: ["new"]).first)
            #expect(loaded.directory(of: new) == folder.appending("new"))
            #expect(loaded.file.gateway == nil)
            #expect(try folder.appending("new/requirements.txt").read().hasPrefix("# "))
            #expect(try folder.appending("new/Dockerfile").read().contains("FROM ${REGISTRY}/watcher:"))
            let check = HandlerCheck(function: new, directory: folder.appending("new"))
            try await check.requireSyntax(python: "/usr/bin/python3")
        }
    }

    @Test func beginsAConfig() async throws {
        try await withTemporaryFolder { folder in
            let config = folder.appending("config.yaml").string
            try initialize("echo", "-f", config, "-g", "10.0.0.1:5")
            #expect(try LoadedConfig(path: config).file.gateway == "10.0.0.1:5")
            #expect(try LoadedConfig(path: config).file.functions.map(\.name.text) == ["echo"])
        }
    }

    @Test func refusesToOverwrite() async throws {
        try await withTemporaryFolder { folder in
            let config = folder.appending("config.yaml")
            mkdir(folder.appending("echo").string, 0o777)
            let taken = #expect(throws: CommandFailure.self) { try initialize("echo", "-f", config.string) }
            #expect(taken?.description.contains("echo exists already") == true)
            #expect(FileKind(at: config) == nil)

            try config.write("functions:\n  echo:\n")
            let listed = #expect(throws: CommandFailure.self) { try initialize("echo", "-f", config.string) }
            #expect(listed?.description == "\(config):2: there is a function \"echo\" already; choose another name")
        }
    }

    @Test func refusesBadArguments() async throws {
        try await withTemporaryFolder { folder in
            let config = folder.appending("config.yaml").string
            let name = #expect(throws: CommandFailure.self) { try initialize("Echo", "-f", config) }
            #expect(name?.description.contains("begins with \"E\"") == true)
            let runtime = #expect(throws: CommandFailure.self) { try initialize("echo", "-r", "pyton", "-f", config) }
            #expect(runtime?.description.contains("did you mean \"python\"?") == true)
            let gateway = #expect(throws: CommandFailure.self) { try initialize("echo", "-g", "a b", "-f", config) }
            #expect(gateway?.description.contains("-g must be HOST:PORT") == true)
            #expect(FileKind(at: folder.appending("echo")) == nil)
        }
    }

    @Test func aLinkedConfigStaysALink() async throws {
        try await withTemporaryFolder { folder in
            let real = folder.appending("real.yaml")
            try real.write("functions:\n")
            chmod(real.string, 0o640)
            let link = folder.appending("config.yaml")
            symlink("real.yaml", link.string)
            try initialize("echo", "-f", link.string)
            #expect(try real.read().contains("  echo:\n"))
            var information = stat()
            #expect(lstat(link.string, &information) == 0 && information.st_mode & S_IFMT == S_IFLNK)
            #expect(stat(real.string, &information) == 0 && information.st_mode & 0o7777 == 0o640)
        }
    }
}
