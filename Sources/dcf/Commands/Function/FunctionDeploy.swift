import ArgumentParser

/// `dcf function deploy`: ships the functions of a config to the gateway.
struct FunctionDeploy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        abstract: "Deploys the functions of a config, or those named, and waits until they are ready.",
        discussion: """
            Example:
              dcf function deploy -f config.yaml echo --update
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var deploy: DeployOptions

    @Flag(
        name: [.customShort("v"), .customLong("deployverbose"), .customLong("verbose")],
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
