internal import FunctionConfig

/// A request to deploy a function.
struct DeployRequest: Sendable {
    /// What to do if a function of that name exists.
    enum IfExists: Sendable {
        case refuse
        case update
        case replace
    }

    var name: String
    /// How the replicas are to run. Nil leaves that to the config, and then to the default of the gateway.
    var kind: DeployKind?
    var image: String
    /// The credentials for the image's registry, in the form in which Docker sends them. Never stored.
    var registryAuthorization: String
    /// Names of secrets, in addition to those of the config.
    var secrets: [String]
    /// Where tasks of a Swarm may run, in addition to the constraints of the config.
    var constraints: [String] = []
    /// The config of this function, as YAML.
    var config: String
    /// The SHA-256 of an uploaded bundle. Empty without a bundle.
    var bundle: String
    var environment: [String: String]
    var labels: [String: String]
    var annotations: [String: String]
    var ifExists: IfExists
    /// Whether the function must exist already.
    var mustExist: Bool
}

/// An event of a deploy that is under way.
enum DeployEvent: Sendable {
    /// A step began.
    case step(String)
    /// pip wrote a line.
    case output(String)
    /// A constructor raised. This is its whole traceback; the error follows.
    case traceback(String)
}
