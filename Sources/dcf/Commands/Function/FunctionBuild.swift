import ArgumentParser
import Engine
import Environments
import FunctionConfig
import SystemPackage

/// `dcf function build`: builds the images of functions. For functions that run as processes, checks the syntax of the
/// handler and prepares the environment on this machine.
struct FunctionBuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract:
            "Builds the functions of a config: their images, or their environments on this machine.",
        discussion: """
            Example:
              dcf function build -f config.yaml echo -v
            """)

    @OptionGroup var connection: ConnectionOptions

    @Flag(
        name: [.customShort("v"), .customLong("buildverbose"), .customLong("verbose")],
        help: "Show the output of pip and of the Docker engine.")
    var isVerbose = false

    @Flag(name: .customLong("nocache"), help: "Build everything again, without the results of earlier builds.")
    var isFresh = false

    @Option(
        help: ArgumentHelp(
            "Also name the images for this registry (default: docker_registry in the config).", valueName: "host"))
    var registry: String?

    @Argument(help: "The functions (default: all functions of the config).")
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
        let environment = try await build.run(isFresh: isFresh)
        Console.note("\(function.name): built for Python \(environment.version)")
    }

    private func buildImage(of function: FunctionConfig, from directory: FilePath) async throws {
        let image = try FunctionImage(function, registry: registry)
        guard !function.skipBuild else {
            return Console.note("\(function.name): not built, as skip_build is set; the image is \(image.reference)")
        }
        try await DockerEngine.use { engine throws(CommandFailure) in
            try await ImageBuild(
                function: function, directory: directory, image: image, engine: engine, isVerbose: isVerbose
            ).run(isFresh: isFresh)
            guard image.local != image.reference else { return }
            do throws(EngineError) { try await engine.tag("\(image.local)", as: image.reference) } catch {
                throw CommandFailure("\(function.name): \(error)")
            }
        }
        let other = image.local == image.reference ? "" : ", also named \(image.reference)"
        Console.note("\(function.name): built \(image.local)\(other)")
    }
}
