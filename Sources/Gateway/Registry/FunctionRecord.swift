import GRDB

/// What the registry keeps of one deployed function: everything needed to start it again.
package struct FunctionRecord: Sendable, Equatable, Codable {
    package var name: String
    /// 1 at the first deploy, one more at each update.
    package var version: Int
    /// As the config names it; shown, not used.
    package var image: String
    /// This function's part of the config, as YAML.
    package var config: String
    /// The SHA-256 of its bundle.
    package var bundle: String
    package var labels: [String: String]
    package var annotations: [String: String]
    /// Variables that its watchers get.
    package var environment: [String: String]
    /// How many are wanted.
    package var replicas: Int
    /// Calls that were answered, as of the last time that counts were written.
    package var invocations: UInt64
    /// Milliseconds since 1970.
    package var createdAt: Int64
    package var updatedAt: Int64

    package init(
        name: String, version: Int, image: String = "", config: String, bundle: String, labels: [String: String] = [:],
        annotations: [String: String] = [:], environment: [String: String] = [:], replicas: Int,
        invocations: UInt64 = 0,
        createdAt: Int64, updatedAt: Int64
    ) {
        self.name = name
        self.version = version
        self.image = image
        self.config = config
        self.bundle = bundle
        self.labels = labels
        self.annotations = annotations
        self.environment = environment
        self.replicas = replicas
        // The database's integers have one bit less.
        self.invocations = min(invocations, UInt64(Int64.max))
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

extension FunctionRecord: FetchableRecord, PersistableRecord {
    static let databaseTableName = "function"
}
