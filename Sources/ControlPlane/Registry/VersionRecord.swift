package import FunctionConfig
import GRDB

/// What the registry holds of one version of a function: everything that is needed to start it again.
package struct VersionRecord: Sendable, Equatable, Codable {
    /// The function's name.
    package var name: String
    /// The number of the version: 1 at the first deploy, one more at each update.
    package var version: Int
    /// How the replicas run.
    package var kind: DeployKind
    /// The name of the image. If the version is not deployed as an image, this is the name from the config; it is shown
    /// and not used.
    package var image: String
    /// The ID of the exact image, `sha256:...`. Empty if the version is not deployed as an image.
    package var imageID: String
    /// The user that the image names.
    package var imageUser: String
    /// The names of the variables that the image sets.
    package var imageVariables: [String]
    /// The reference by which every node of a Swarm can pull the image. Empty if the version is not deployed as an
    /// image.
    package var imageReference: String
    /// The processor architecture of the image.
    package var imageArchitecture: String
    /// Where the tasks of a Swarm may run, in Docker's form: `node.role==worker`.
    package var constraints: [String]
    /// The names of the secrets that the replicas get.
    package var secrets: [String]
    /// The config of this function, as YAML.
    package var config: String
    /// The SHA-256 of the bundle. Empty if the version is deployed as an image.
    package var bundle: String
    package var labels: [String: String]
    package var annotations: [String: String]
    /// Environment variables for the watchers.
    package var environment: [String: String]
    /// The range in which the number of replicas follows the load.
    package var replicasMin: Int
    package var replicasMax: Int
    /// The version's share of the function's calls, in per cent.
    package var traffic: Int
    /// The time of the deploy, in milliseconds since 1970.
    package var createdAt: Int64

    package init(
        name: String, version: Int, kind: DeployKind = .process, image: String = "", secrets: [String] = [],
        constraints: [String] = [], config: String, bundle: String, labels: [String: String] = [:],
        annotations: [String: String] = [:], environment: [String: String] = [:], replicas: ReplicaRange,
        traffic: Int = 0, createdAt: Int64
    ) {
        self.name = name
        self.version = version
        self.kind = kind
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

    /// The columns of the table, and the keys of records in JSON.
    private enum CodingKeys: String, CodingKey {
        case name, version
        case kind = "deploy"
        case image, imageID, imageUser, imageVariables, imageReference, imageArchitecture
        case constraints, secrets, config, bundle, labels, annotations, environment
        case replicasMin, replicasMax, traffic, createdAt
    }

    package var replicas: ReplicaRange {
        get { ReplicaRange(min: replicasMin, max: replicasMax) }
        set { (replicasMin, replicasMax) = (newValue.min, newValue.max) }
    }
}

extension VersionRecord: FetchableRecord, PersistableRecord {
    package static let databaseTableName = "version"

    /// The columns that may change after a version is written.
    static let changing = ["replicasMin", "replicasMax", "traffic"]
}
