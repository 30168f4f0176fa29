import ArgumentParser
import GatewayProtocol

/// What a deploy does with a function that is there already, and flags of the original that are accepted.
struct DeployOptions: ParsableArguments {
    @Flag(help: "Change a function that is there: the new starts beside the old, then takes over.")
    var update = false

    @Flag(help: "Remove a function that is there first.")
    var replace = false

    @Option(
        help: ArgumentHelp("The image registry; of no effect for functions that run as processes.", valueName: "host"))
    var registry: String?

    var existing: Pb_Existing {
        if update { .update } else if replace { .replace } else { .refuse }
    }

    func validate() throws {
        if update, replace {
            throw ValidationError("--update and --replace exclude each other.")
        }
    }
}
