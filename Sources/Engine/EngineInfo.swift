/// What an engine says of itself.
package struct EngineInfo: Sendable, Equatable {
    package var version: String
    /// As images name it: `amd64`, `arm64`.
    package var architecture: String
    package var processors: Int
    /// In bytes.
    package var memory: UInt64
    /// Whether it is part of a Swarm.
    package var isInSwarm: Bool
    /// Whether it may be asked about its Swarm, and change it.
    package var isManager: Bool
    /// Its address as the Swarm knows it; empty where there is none.
    package var nodeAddress: String

    package init(
        version: String, architecture: String, processors: Int, memory: UInt64, isInSwarm: Bool,
        isManager: Bool = false, nodeAddress: String = ""
    ) {
        self.version = version
        self.architecture = architecture
        self.processors = processors
        self.memory = memory
        self.isInSwarm = isInSwarm
        self.isManager = isManager
        self.nodeAddress = nodeAddress
    }
}
