import ArgumentParser
import Engine
import Environments
import FunctionConfig
import SystemPackage

/// `dcf function build`: builds the images; of processes it checks the handlers' syntax, and prepares the environments here.
struct FunctionBuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract:
            "Builds the functions of a config, or those named: their images, or their environments on this machine.",
        discussion: """
            Example:
              dcf function build -f config.yaml echo -v
            """)

    @OptionGroup var connection: ConnectionOptions

    @Flag(
        name: [.customShort("v"), .customLong("buildverbose"), .customLong("verbose")],
        help: "Show the lines of pip, and of the Docker engine.")
    var isVerbose = false

    @Flag(name: .customLong("nocache"), help: "Make anew what is there already.")
    var isAnew = false

    @Option(
        help: ArgumentHelp(
            "A registry that images get a name for, too, instead of the config's docker_registry.", valueName: "host"))
    var registry: String?

    @Argument(help: "The functions (default: all of the config).")
    var names: [String] = []

    func run() async throws {
        let config = try LoadedConfig(path: connection.configPath)
        let functions = try config.functions(named: names)
        let client = try connection.client(of: config)
        let kinds = await DeployKinds(of: functions, client)
        kinds.noteGuesses(of: functions, client)
        try config.check(functions, as: kinds)
        for function in functions {
            switch kinds[function] {
            case .process: try await prepare(function, of: config)
            case .image: try await buildImage(of: function, from: config.directory(of: function))
            }
        }
    }

    private func prepare(_ function: FunctionConfig, of config: LoadedConfig) async throws {
        let build = FunctionBuilding(
            function: function, directory: config.directory(of: function), configDirectory: config.directory,
            environments: try LocalEnvironments(), isVerbose: isVerbose)
        let environment = try await build.run(isAnew: isAnew)
        Console.note("\(function.name): built for Python \(environment.version)")
    }

    private func buildImage(of function: FunctionConfig, from directory: FilePath) async throws {
        let image = try FunctionImage(function, registry: registry)
        guard !function.skipBuild else {
            return Console.note("\(function.name): \(image.reference) is used as it is (skip_build)")
        }
        try await DockerEngine.use { engine throws(CommandFailure) in
            try await ImageBuild(
                function: function, directory: directory, image: image, engine: engine, isVerbose: isVerbose
            ).run(isAnew: isAnew)
            guard image.local != image.reference else { return }
            do throws(EngineError) { try await engine.tag("\(image.local)", as: image.reference) } catch {
                throw CommandFailure("\(function.name): \(error)")
            }
        }
        let other = image.local == image.reference ? "" : ", which is \(image.reference), too"
        Console.note("\(function.name): built \(image.local)\(other)")
    }
}
