import ArgumentParser
import FunctionConfig

/// The command group `dcf runtime`.
struct RuntimeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtime",
        abstract: "Shows the languages for functions.",
        discussion: """
            Example:
              dcf runtime list
            """,
        subcommands: [RuntimeList.self])
}

/// `dcf runtime list`: the possible values of `runtime` in the config.
struct RuntimeList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists the runtimes.",
        discussion: """
            Example:
              dcf runtime list
            """)

    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        var table = Table(header: ["Runtime", "Same as", "Description"])
        for runtime in FunctionRuntime.all {
            table.add([runtime.name, runtime.aliases.joined(separator: ", "), runtime.description])
        }
        try Console.write(table.text)
    }
}
