import ArgumentParser
import Environments
import FunctionConfig
import Glibc
import SystemPackage

/// `dcf function run NAME`: one call of a function with no gateway at all; this process becomes the function's.
struct FunctionRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Tries a function on this machine: constructs it, calls it with standard input, prints the reply.",
        discussion: """
            Example:
              echo hello | dcf function run echo
            """)

    @OptionGroup var connection: ConnectionOptions

    @Flag(name: .shortAndLong, help: "Show the lines of pip.")
    var verbose = false

    @Argument(help: "The function.")
    var name: String

    func run() async throws {
        let config = try LoadedConfig(path: connection.configPath)
        let functions = try config.deployable(named: [name])
        let watcher = try WatcherProgram.find()
        for function in functions {
            let directory = config.directory(of: function)
            let build = FunctionBuilding(
                function: function, directory: directory, configDirectory: config.directory,
                environments: try LocalEnvironments(), isVerbose: verbose)
            let environment = try await build.run(isAnew: false)
            if Console.isTerminal(.standardInput) {
                Console.note("Reading the call's input from the terminal; end it with Ctrl-D.")
            }
            try OnceCall(function: function, directory: directory, python: environment.python).become(watcher)
        }
    }
}
