/// Where a Docker engine listens: a unix socket.
package struct EngineEndpoint: Sendable, Equatable {
    package static let standardPath = "/var/run/docker.sock"

    /// The socket's path.
    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// The engine that Docker's command line uses: the one in `DOCKER_HOST`, else the one at the standard socket.
    ///
    /// - Throws: if `DOCKER_HOST` is not the address of a unix socket.
    package init(variables: [String: String]) throws(EngineError) {
        guard let host = variables["DOCKER_HOST"], !host.isEmpty else {
            path = Self.standardPath
            return
        }
        guard host.hasPrefix("unix://"), host.count > 7 else {
            throw EngineError(
                .unreachable,
                "DOCKER_HOST is \(host); set it to the address of a unix socket, such as unix://\(Self.standardPath)")
        }
        path = String(host.dropFirst(7))
    }

    /// The URL of a path at this engine.
    func url(_ pathAndQuery: String) -> String {
        "http+unix://\(Self.escaped(path, keeping: []))\(pathAndQuery)"
    }

    /// A text in percent-encoding, for a part of a URL.
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
