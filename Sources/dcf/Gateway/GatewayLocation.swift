import FunctionConfig

/// Which gateway a command talks to, and what said so.
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

    /// The flag, else the config's `dcf.gateway`, else the environment's variable, else this machine's standard port.
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
            throw CommandFailure("\(what) must be HOST:PORT, as 127.0.0.1:32222, not \(text.quoted)")
        }
        self.address = address.description
        self.source = source
    }

    /// ` (from ...)`, for messages; empty where the caller gave the address or nobody did.
    var origin: String {
        switch source {
        case .flag, .standard: ""
        case .config(let file): " (dcf.gateway of \(file))"
        case .environment: " (\(Self.variable))"
        }
    }
}
