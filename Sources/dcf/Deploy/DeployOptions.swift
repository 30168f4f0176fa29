import ArgumentParser
import GatewayProtocol

/// The flags of `create` and `deploy`: which functions are deployed, and what happens to existing ones. Flags of the
/// original are accepted too.
struct DeployOptions: ParsableArguments {
    @Flag(help: "Update a function that exists: the new version starts beside the old one, then takes over.")
    var update = false

    @Flag(help: "Remove a function that exists, then deploy it again.")
    var replace = false

    @Option(
        help: ArgumentHelp(
            "The registry that images are pushed to (default: docker_registry in the config).", valueName: "host"))
    var registry: String?

    @Flag(
        name: [.customShort("v"), .customLong("deployverbose"), .customLong("buildverbose"), .customLong("verbose")],
        help: "Show the output of pip and of the Docker engine.")
    var isVerbose = false

    @Argument(help: "The functions (default: all functions of the config).")
    var names: [String] = []

    var existing: Pb_Existing {
        if update { .update } else if replace { .replace } else { .refuse }
    }

    func validate() throws {
        if update, replace {
            throw ValidationError("Give --update or --replace, not both.")
        }
    }

    /// Deploys the functions and returns when they are Ready.
    ///
    /// - Parameter builds: whether images are built first.
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
