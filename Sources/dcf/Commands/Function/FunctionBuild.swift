import ArgumentParser
import Environments
import FunctionConfig
import SystemPackage

/// `dcf function build`: checks the config and the handlers' syntax, and prepares the environments here.
struct FunctionBuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Checks the functions of a config, or those named, and prepares their environments on this machine.",
        discussion: """
            Example:
              dcf function build -f config.yaml echo -v
            """)

    @OptionGroup var connection: ConnectionOptions

    @Flag(
        name: [.customShort("v"), .customLong("buildverbose"), .customLong("verbose")],
        help: "Show the lines of pip.")
    var isVerbose = false

    @Flag(name: .customLong("nocache"), help: "Prepare anew what is there already.")
    var isAnew = false

    @Argument(help: "The functions (default: all of the config).")
    var names: [String] = []

    func run() async throws {
        let config = try LoadedConfig(path: connection.configPath)
        let functions = try config.deployable(named: names)
        let environments = try LocalEnvironments()
        for function in functions {
            let build = FunctionBuilding(
                function: function, directory: config.directory(of: function), configDirectory: config.directory,
                environments: environments, isVerbose: isVerbose)
            let environment = try await build.run(isAnew: isAnew)
            Console.note("\(function.name): built for Python \(environment.version)")
        }
    }
}
