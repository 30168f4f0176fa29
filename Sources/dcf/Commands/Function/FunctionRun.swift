import ArgumentParser
import Environments
import FunctionConfig
import Glibc
import SystemPackage

/// `dcf function run NAME`: one call of a function without a gateway, in this process or in a container of the
/// function's image.
struct FunctionRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract:
            "Tries a function on this machine: constructs the handler, calls it with standard input, prints the reply.",
        discussion: """
            Example:
              echo hello | dcf function run echo
            """)

    @OptionGroup var connection: ConnectionOptions

    @Flag(name: .shortAndLong, help: "Show the output of pip.")
    var verbose = false

    @Argument(help: "The function.")
    var name: String

    func run() async throws {
        let config = try LoadedConfig(path: connection.configPath)
        let functions = try config.functions(named: [name])
        let client = try connection.client(of: config)
        let kinds = await DeployKinds(of: functions, client)
        kinds.noteGuesses(of: functions, client)
        try config.check(functions, as: kinds)
        for function in functions {
            switch kinds[function] {
            case .process: try await runProcess(of: function, config)
            case .image: try await runImage(of: function)
            }
        }
    }

    private func runProcess(of function: FunctionConfig, _ config: LoadedConfig) async throws {
        let watcher = try WatcherProgram.find()
        let directory = config.directory(of: function)
        let build = FunctionBuilding(
            function: function, directory: directory, configDirectory: config.directory,
            environments: try LocalEnvironments(), isVerbose: verbose)
        let environment = try await build.run(isFresh: false)
        if Console.isTerminal(.standardInput) {
            Console.note("Reading the call's input from the terminal; end it with Ctrl-D.")
        }
        try OnceCall(function: function, directory: directory, python: environment.python).replaceThisProcess(
            by: watcher)
    }

    private func runImage(of function: FunctionConfig) async throws {
        let image = try FunctionImage(function)
        let input = try Console.readAll()
        let status = try await DockerEngine.use { engine throws(CommandFailure) in
            try await ImageTrial(function: function, image: image, engine: engine).run(input: input)
        }
        // The container has already printed the reason.
        guard status == 0 else { throw ExitCode(1) }
    }
}
