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
        help: ArgumentHelp(
            "The registry that images are sent to, instead of the config's docker_registry.", valueName: "host"))
    var registry: String?

    @Flag(
        name: [.customShort("v"), .customLong("deployverbose"), .customLong("buildverbose"), .customLong("verbose")],
        help: "Show the lines of pip, and of the Docker engine.")
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
    ///
    /// - Parameter builds: whether images are built before.
    func run(_ connection: ConnectionOptions, builds: Bool) async throws {
        let config = try LoadedConfig(path: connection.configPath)
        let client = try connection.client(of: config)
        let functions = try config.functions(named: names)
        let kinds = await DeployKinds(of: functions, client)
        try config.check(functions, as: kinds)
        let deployment = Deployment(
            client: client, existing: existing, isVerbose: isVerbose, kinds: kinds, registry: registry, builds: builds)
        try await deployment.deploy(functions, of: config)
    }
}
