/// Where a Docker engine listens: a unix socket.
package struct EngineEndpoint: Sendable, Equatable {
    package static let standardPath = "/var/run/docker.sock"

    /// The socket's path.
    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// The engine that Docker's own command line would ask: `DOCKER_HOST`, else the standard socket.
    ///
    /// - Throws: when `DOCKER_HOST` names no unix socket.
    package init(variables: [String: String]) throws(EngineError) {
        guard let host = variables["DOCKER_HOST"], !host.isEmpty else {
            path = Self.standardPath
            return
        }
        guard host.hasPrefix("unix://"), host.count > 7 else {
            throw EngineError(
                .unreachable, "DOCKER_HOST is \(host); only a unix socket will do, as unix://\(Self.standardPath)")
        }
        path = String(host.dropFirst(7))
    }

    /// The URL of a path below the socket.
    func url(_ pathAndQuery: String) -> String {
        "http+unix://\(Self.escaped(path, keeping: []))\(pathAndQuery)"
    }

    /// Percent-encoded for a part of a URL.
    static func escaped(_ text: String, keeping kept: Set<Character> = ["/"]) -> String {
        var result = ""
        for byte in text.utf8 {
            let character = Character(UnicodeScalar(byte))
            let isPlain = byte < 0x80 && (character.isLetter || character.isNumber || "-._~".contains(character))
            if isPlain || kept.contains(character) {
                result.append(character)
            } else {
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (hex.count == 1 ? "0" : "") + hex
            }
        }
        return result
    }
}
