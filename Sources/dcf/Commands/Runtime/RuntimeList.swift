import ArgumentParser
import FunctionConfig

/// `dcf runtime list`: the values that `runtime` may have in the config.
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
