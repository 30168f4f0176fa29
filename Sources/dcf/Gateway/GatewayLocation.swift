import FunctionConfig

/// The address of the gateway that a command uses, and where that address comes from.
struct GatewayLocation: Equatable {
    enum Source: Equatable {
        case flag
        case config(file: String)
        case environment
        case standard
    }

    static let variable = "DCF_GATEWAY"

    let address: String
    let source: Source

    /// Chooses the flag, else `dcf.gateway` in the config, else the environment variable, else the standard port of
    /// this machine.
    static func resolve(
        flag: String?, config: String?, configFile: String, environment: String?
    ) throws(CommandFailure) -> GatewayLocation {
        if let flag { return try GatewayLocation(flag, .flag, "-g") }
        if let config { return try GatewayLocation(config, .config(file: configFile), "dcf.gateway of \(configFile)") }
        if let environment, !environment.isEmpty { return try GatewayLocation(environment, .environment, variable) }
        return try GatewayLocation("127.0.0.1:\(GatewayAddress.portDefault)", .standard, "the default")
    }

    private init(_ text: String, _ source: Source, _ what: String) throws(CommandFailure) {
        guard let address = GatewayAddress(text) else {
            throw CommandFailure("\(what) must be HOST:PORT, such as 127.0.0.1:32222, not \(text.quoted)")
        }
        self.address = address.description
        self.source = source
    }

    /// The source of the address for messages, as ` (DCF_GATEWAY)`. Empty for the flag and the default.
    var origin: String {
        switch source {
        case .flag, .standard: ""
        case .config(let file): " (dcf.gateway of \(file))"
        case .environment: " (\(Self.variable))"
        }
    }
}
