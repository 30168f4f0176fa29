import ArgumentParser

/// `dcf function create`: build and deploy in one.
///
/// Config and files are checked here. The rest of a build, the environment and the handler's syntax, is the gateway's
/// work in this deploy: it has the interpreter that counts, and its errors come back with the author's file and line.
struct FunctionCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Checks and deploys the functions of a config, or those named, and waits until they are ready.",
        discussion: """
            Example:
              dcf function create -f config.yaml -v
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var deploy: DeployOptions

    @Flag(
        name: [.customShort("v"), .customLong("buildverbose"), .customLong("deployverbose"), .customLong("verbose")],
        help: "Show the lines of pip.")
    var isVerbose = false

    @Argument(help: "The functions (default: all of the config).")
    var names: [String] = []

    func run() async throws {
        let config = try LoadedConfig(path: connection.configPath)
        let functions = try config.deployable(named: names)
        let deployment = Deployment(
            client: try connection.client(of: config), existing: deploy.existing, isVerbose: isVerbose)
        try await deployment.deploy(functions, of: config)
    }
}
