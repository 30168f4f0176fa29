/// A service as its Swarm has it.
package struct SwarmServiceState: Sendable, Equatable {
    package var id: String
    package var name: String
    package var labels: [String: String]
    /// Of this state: a change says which it is made from.
    package var index: UInt64
    /// How many tasks it is to have.
    package var replicas: Int
    /// The ids of the secrets that its tasks get.
    package var secrets: [String]

    package init(
        id: String, name: String, labels: [String: String], index: UInt64, replicas: Int = 0,
        secrets: [String] = []
    ) {
        self.id = id
        self.name = name
        self.labels = labels
        self.index = index
        self.replicas = replicas
        self.secrets = secrets
    }
}
