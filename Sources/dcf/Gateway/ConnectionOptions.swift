import ArgumentParser
import FunctionConfig
import Glibc

/// The flags for the gateway and the config: `-g` and `-f`.
struct ConnectionOptions: ParsableArguments {
    @Option(
        name: [.customShort("g"), .long],
        help: ArgumentHelp(
            "The gateway's address (default: dcf.gateway in the config, else $DCF_GATEWAY, else 127.0.0.1:32222).",
            valueName: "host:port"))
    var gateway: String?

    @Option(
        name: [.customShort("f"), .long],
        help: ArgumentHelp("The config file (default: config.yaml).", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String?

    static let configDefault = "config.yaml"

    var configPath: String { config ?? Self.configDefault }

    /// The gateway for a command that does not need the config's functions. Reads only `dcf.gateway` from the config.
    func location() throws(CommandFailure) -> GatewayLocation {
        try location(config: gateway == nil ? try configGateway() : nil)
    }

    /// The gateway for a command that has read the config.
    func location(of config: LoadedConfig) throws(CommandFailure) -> GatewayLocation {
        try location(config: config.file.gateway)
    }

    func client() throws(CommandFailure) -> GatewayClient {
        GatewayClient(try location())
    }

    func client(of config: LoadedConfig) throws(CommandFailure) -> GatewayClient {
        GatewayClient(try location(of: config))
    }

    private func location(config: String?) throws(CommandFailure) -> GatewayLocation {
        try GatewayLocation.resolve(
            flag: gateway, config: config, configFile: configPath,
            environment: ProcessEnvironment[GatewayLocation.variable])
    }

    /// `dcf.gateway` in the config. A missing file is an error only if the user named it.
    private func configGateway() throws(CommandFailure) -> String? {
        if config == nil, access(configPath, F_OK) != 0 { return nil }
        let text = try LoadedConfig.text(at: configPath)
        do {
            return try ConfigFile.gateway(yaml: text, fileName: configPath)
        } catch {
            throw CommandFailure(error)
        }
    }
}
