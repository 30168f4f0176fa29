/// A service as its Swarm has it.
package struct SwarmServiceState: Sendable, Equatable {
    package var id: String
    package var name: String
    package var labels: [String: String]
    /// Of this state: a change says which it is made from.
    package var index: UInt64

    package init(id: String, name: String, labels: [String: String], index: UInt64) {
        self.id = id
        self.name = name
        self.labels = labels
        self.index = index
    }
}
