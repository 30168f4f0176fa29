internal import NIOHTTP1

/// What an engine reports about itself.
package struct EngineInfo: Sendable, Equatable {
    package var version: String
    /// The architecture as images name it: `amd64`, `arm64`.
    package var architecture: String
    package var processors: Int
    /// In bytes.
    package var memory: UInt64
    /// Whether the engine is part of a Swarm.
    package var isInSwarm: Bool
    /// Whether the engine manages its Swarm: it can answer questions about the Swarm and change it.
    package var isManager: Bool
    /// The engine's address in the Swarm. Empty outside a Swarm.
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

extension Engine {
    /// Asks the engine about itself. Also the way to find out whether there is an engine.
    package func info() async throws(EngineError) -> EngineInfo {
        let answer = try await ask(InfoAnswer.self, .GET, "/info", doing: "cannot ask the engine about itself")
        return EngineInfo(
            version: answer.ServerVersion, architecture: Self.imageName(ofArchitecture: answer.Architecture),
            processors: answer.NCPU, memory: answer.MemTotal,
            isInSwarm: answer.Swarm?.LocalNodeState == "active",
            isManager: answer.Swarm?.ControlAvailable ?? false, nodeAddress: answer.Swarm?.NodeAddr ?? "")
    }

    /// Translates an architecture: engines use the names of uname, images those of Go.
    static func imageName(ofArchitecture name: String) -> String {
        switch name {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        case "armv7l": "arm"
        default: name
        }
    }

    private struct InfoAnswer: Decodable {
        struct SwarmAnswer: Decodable {
            var LocalNodeState: String?
            var ControlAvailable: Bool?
            var NodeAddr: String?
        }

        var ServerVersion: String
        var Architecture: String
        var NCPU: Int
        var MemTotal: UInt64
        var Swarm: SwarmAnswer?
    }
}
