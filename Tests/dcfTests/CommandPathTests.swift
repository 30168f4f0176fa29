import ArgumentParser
import Testing

@testable import dcf

@Suite struct CommandPathTests {
    @Test(arguments: [
        ["function", "list"], ["fn", "list"], ["function", "invoke", "echo"], ["function", "rm", "echo"], ["help"],
        ["help", "function", "list"], ["--version"], ["version"], [], ["function"], ["function", "--help"],
        ["function", "call", "lst"],
    ])
    func knows(_ arguments: [String]) {
        #expect(CommandPath.misspelling(in: arguments, root: DCF.self) == nil)
    }

    @Test(arguments: [
        (["function", "lst"], "unknown command \"dcf function lst\"; did you mean \"dcf function list\"?"),
        (["fn", "lst"], "unknown command \"dcf fn lst\"; did you mean \"dcf fn list\"?"),
        (["fnction", "list"], "unknown command \"dcf fnction\"; did you mean \"dcf function\"?"),
        (["function", "delet", "a"], "unknown command \"dcf function delet\"; did you mean \"dcf function delete\"?"),
        (["function", "invok", "a"], "unknown command \"dcf function invok\"; did you mean \"dcf function invoke\"?"),
        (["call", "echo"], "unknown command \"dcf call\"; did you mean \"dcf function call\"?"),
        (["runtime", "lst"], "unknown command \"dcf runtime lst\"; did you mean \"dcf runtime list\"?"),
        (["help", "functon"], "unknown command \"dcf functon\"; did you mean \"dcf function\"?"),
        (["xyzzy"], "unknown command \"dcf xyzzy\"; \"dcf --help\" lists the commands"),
    ])
    func suggests(_ arguments: [String], _ message: String) {
        #expect(CommandPath.misspelling(in: arguments, root: DCF.self) == message)
    }

    /// All commands below this one.
    static func commands(below command: any ParsableCommand.Type = DCF.self) -> [any ParsableCommand.Type] {
        [command] + command.configuration.subcommands.flatMap { commands(below: $0) }
    }

    @Test func everyHelpShowsAnExample() {
        for command in Self.commands() {
            #expect(command.configuration.discussion.hasPrefix("Example:\n  "), "\(command)")
            #expect(command.configuration.discussion.contains("dcf "), "\(command)")
            #expect(command.configuration.commandName != nil, "\(command)")
            #expect(!command.configuration.abstract.isEmpty, "\(command)")
        }
    }

    /// The program understands the command lines in its own examples.
    @Test func everyExampleParses() throws {
        for command in Self.commands() {
            for line in command.configuration.discussion.split(separator: "\n") {
                let words = line.split(separator: " ").map(String.init)
                guard let start = words.firstIndex(of: "dcf") else { continue }
                let arguments = words[(start + 1)...].prefix { $0 != ">" && !$0.hasPrefix("--generate") }
                #expect(throws: Never.self, "\(line)") {
                    do {
                        _ = try DCF.parseAsRoot(Array(arguments))
                    } catch  where DCF.exitCode(for: error) == .success {}
                }
            }
        }
    }
}
