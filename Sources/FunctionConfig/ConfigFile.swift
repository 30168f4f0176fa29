import Yams

/// A whole config.yaml: the gateway's address and the functions, in the file's order.
package struct ConfigFile: Sendable, Equatable {
    /// The name of the file in messages.
    package let fileName: String
    /// `dcf.gateway`, in the form `HOST:PORT`. Nil without the key.
    package let gateway: String?
    package let functions: [FunctionConfig]

    /// Reads the text of a config. `fileName` appears in messages only.
    package static func parse(yaml: String, fileName: String) throws(ConfigError) -> ConfigFile {
        let known = ["dcf", "functions"]
        var gateway: String?
        var functions: [FunctionConfig] = []
        if let root = try YAMLText.root(of: yaml, path: "", file: fileName) {
            for entry in try root.entries() {
                switch entry.key {
                case "dcf": gateway = try Self.gateway(entry.value)
                case "functions": functions = try Self.functions(entry.value)
                default: throw entry.unknown(in: root, known: known)
                }
            }
        }
        return ConfigFile(fileName: fileName, gateway: gateway, functions: functions)
    }

    package func function(named name: String) -> FunctionConfig? {
        functions.first { $0.name.text == name }
    }

    static func gateway(_ mapping: ConfigNode) throws(ConfigError) -> String? {
        var gateway: String?
        for entry in try mapping.entries() {
            guard entry.key == "gateway" else { throw entry.unknown(in: mapping, known: ["gateway"]) }
            gateway = try entry.value.optionalText()
            if let gateway, GatewayAddress(gateway) == nil {
                throw entry.value.mismatch("HOST:PORT, such as 127.0.0.1:32222")
            }
        }
        return gateway
    }

    private static func functions(_ mapping: ConfigNode) throws(ConfigError) -> [FunctionConfig] {
        var functions: [FunctionConfig] = []
        for entry in try mapping.entries() {
            let name: FunctionName
            do {
                name = try FunctionName(entry.key)
            } catch {
                throw entry.value.failure("\(error)")
            }
            functions.append(try FunctionConfig(name: name, node: entry.value))
        }
        return functions
    }
}

extension ConfigFile {
    /// Reads only `dcf.gateway`. The rest of the file is not checked.
    package static func gateway(yaml: String, fileName: String) throws(ConfigError) -> String? {
        guard let root = try YAMLText.root(of: yaml, path: "", file: fileName),
            let section = try root.entries().first(where: { $0.key == "dcf" })
        else { return nil }
        return try gateway(section.value)
    }
}
