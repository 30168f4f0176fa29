internal import NIOHTTP1

extension Engine {
    /// What the engine is. Also the way to learn whether there is one.
    package func info() async throws(EngineError) -> EngineInfo {
        let answer = try await ask(InfoAnswer.self, .GET, "/info", doing: "cannot ask the engine what it is")
        return EngineInfo(
            version: answer.ServerVersion, architecture: Self.imageName(ofArchitecture: answer.Architecture),
            processors: answer.NCPU, memory: answer.MemTotal,
            isInSwarm: answer.Swarm?.LocalNodeState == "active",
            isManager: answer.Swarm?.ControlAvailable ?? false, nodeAddress: answer.Swarm?.NodeAddr ?? "")
    }

    /// Engines tell what uname does, images what Go does.
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
