import ArgumentParser
import GatewayProtocol

/// Which functions of a config are deployed and how, for `create` and `deploy` alike: what happens to one that is there
/// already, and flags of the original that are accepted.
struct DeployOptions: ParsableArguments {
    @Flag(help: "Change a function that is there: the new starts beside the old, then takes over.")
    var update = false

    @Flag(help: "Remove a function that is there first.")
    var replace = false

    @Option(
        help: ArgumentHelp("The image registry; of no effect for functions that run as processes.", valueName: "host"))
    var registry: String?

    @Flag(
        name: [.customShort("v"), .customLong("deployverbose"), .customLong("buildverbose"), .customLong("verbose")],
        help: "Show the lines of pip.")
    var isVerbose = false

    @Argument(help: "The functions (default: all of the config).")
    var names: [String] = []

    var existing: Pb_Existing {
        if update { .update } else if replace { .replace } else { .refuse }
    }

    func validate() throws {
        if update, replace {
            throw ValidationError("--update and --replace exclude each other.")
        }
    }

    /// Deploys the functions and returns when they are Ready.
    func run(_ connection: ConnectionOptions) async throws {
        let config = try LoadedConfig(path: connection.configPath)
        let functions = try config.deployable(named: names)
        let deployment = Deployment(
            client: try connection.client(of: config), existing: existing, isVerbose: isVerbose)
        try await deployment.deploy(functions, of: config)
    }
}
