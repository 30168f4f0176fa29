package import FunctionConfig
import GRDB

/// What the registry keeps of one version of a function: everything needed to start it again.
package struct VersionRecord: Sendable, Equatable, Codable {
    /// The function's name.
    package var name: String
    /// 1 at the first deploy, one more at each update.
    package var version: Int
    /// What its replicas are.
    package var deploy: DeployKind
    /// The image's name: where it is not deployed as one, as the config says, shown and not used.
    package var image: String
    /// Names the very image for ever, `sha256:...`; empty where it is not deployed as one.
    package var imageID: String
    /// Whom the image wants to run as.
    package var imageUser: String
    /// Names of the variables that the image sets.
    package var imageVariables: [String]
    /// As every node of a Swarm can get it; empty where it is not deployed as one.
    package var imageReference: String
    /// The processor that it is for.
    package var imageArchitecture: String
    /// Where the tasks of a Swarm may run, as Docker has it: `node.role==worker`.
    package var constraints: [String]
    /// Names of the secrets that it gets.
    package var secrets: [String]
    /// This function's part of the config, as YAML.
    package var config: String
    /// The SHA-256 of its bundle; empty where it is deployed as an image.
    package var bundle: String
    package var labels: [String: String]
    package var annotations: [String: String]
    /// Variables that its watchers get.
    package var environment: [String: String]
    /// Between these the number of replicas follows the load.
    package var replicasMin: Int
    package var replicasMax: Int
    /// Its share of the function's calls, in per cent.
    package var traffic: Int
    /// Milliseconds since 1970.
    package var createdAt: Int64

    package init(
        name: String, version: Int, deploy: DeployKind = .process, image: String = "", secrets: [String] = [],
        constraints: [String] = [],
        config: String, bundle: String, labels: [String: String] = [:],
        annotations: [String: String] = [:], environment: [String: String] = [:], replicas: ReplicaRange,
        traffic: Int = 0, createdAt: Int64
    ) {
        self.name = name
        self.version = version
        self.deploy = deploy
        self.image = image
        imageID = ""
        imageUser = ""
        imageVariables = []
        imageReference = ""
        imageArchitecture = ""
        self.constraints = constraints
        self.secrets = secrets
        self.config = config
        self.bundle = bundle
        self.labels = labels
        self.annotations = annotations
        self.environment = environment
        replicasMin = replicas.min
        replicasMax = replicas.max
        self.traffic = traffic
        self.createdAt = createdAt
    }

    package var replicas: ReplicaRange {
        get { ReplicaRange(min: replicasMin, max: replicasMax) }
        set { (replicasMin, replicasMax) = (newValue.min, newValue.max) }
    }
}

extension VersionRecord: FetchableRecord, PersistableRecord {
    package static let databaseTableName = "version"

    /// What may change of a version once it is there.
    static let changing = ["replicasMin", "replicasMax", "traffic"]
}
