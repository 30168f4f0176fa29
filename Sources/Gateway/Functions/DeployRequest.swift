internal import FunctionConfig

/// What a caller wants deployed.
struct DeployRequest: Sendable {
    /// What to do when the name is taken.
    enum IfExists: Sendable {
        case refuse
        case update
        case replace
    }

    var name: String
    /// What its replicas are to be; nil: what the config says, then what the gateway was started for.
    var deploy: DeployKind?
    var image: String
    /// What the registry of the image wants to be shown, as Docker sends it; never kept.
    var registryAuthorization: String
    /// Names of secrets, beside those of the config.
    var secrets: [String]
    /// Where tasks of a Swarm may run, beside those of the config.
    var constraints: [String] = []
    /// The function's part of the config, as YAML.
    var config: String
    /// SHA-256 of an uploaded bundle.
    var bundle: String
    var environment: [String: String]
    var labels: [String: String]
    var annotations: [String: String]
    var ifExists: IfExists
    /// Whether the function must be there already.
    var mustExist: Bool
}
