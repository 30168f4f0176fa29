internal import Foundation

/// What Docker's own command line remembers of registries: `config.json` in `$DOCKER_CONFIG`, else `~/.docker`.
/// https://docs.docker.com/reference/cli/docker/login/#credential-stores
package struct DockerConfig: Sendable {
    /// Whom to ask for a registry's credentials.
    package enum Source: Sendable, Equatable {
        case credentials(RegistryCredentials)
        /// The program `docker-credential-NAME`: its `get`, with the server's name on standard input.
        case helper(program: String, server: String)
        /// Nobody has logged in there.
        case none
    }

    private let file: File

    /// - Throws: when the file is there and cannot be understood.
    package init(variables: [String: String]) throws(EngineError) {
        let folder = variables["DOCKER_CONFIG"] ?? variables["HOME"].map { "\($0)/.docker" }
        guard let path = folder.map({ "\($0)/config.json" }), FileManager.default.fileExists(atPath: path) else {
            file = File()
            return
        }
        do {
            file = try JSONDecoder().decode(File.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            // The error of the decoder may quote the file, and with it a password.
            throw EngineError(.registry, "\(path) cannot be read as Docker's config; is it JSON, and yours to read?")
        }
    }

    package func source(for registry: String) -> Source {
        let server = registry == "docker.io" ? "https://index.docker.io/v1/" : registry
        if let helper = file.credHelpers?[registry] ?? file.credHelpers?[server] {
            return .helper(program: "docker-credential-\(helper)", server: server)
        }
        for name in [server, registry, "https://\(registry)", "https://\(registry)/v1/", "https://\(registry)/v2/"] {
            guard let entry = file.auths?[name] else { continue }
            if let token = entry.identitytoken, !token.isEmpty {
                return .credentials(RegistryCredentials(registry: server, user: "<token>", password: token))
            }
            guard let encoded = entry.auth, let data = Data(base64Encoded: encoded) else { continue }
            let text = String(decoding: data, as: UTF8.self)
            guard let colon = text.firstIndex(of: ":") else { continue }
            return .credentials(
                RegistryCredentials(
                    registry: server, user: String(text[..<colon]), password: String(text[text.index(after: colon)...]))
            )
        }
        if let store = file.credsStore, !store.isEmpty {
            return .helper(program: "docker-credential-\(store)", server: server)
        }
        return .none
    }

    /// What a helper wrote to its standard output.
    ///
    /// - Returns: nil when it is no answer.
    package static func credentials(fromHelper output: [UInt8], registry: String) -> RegistryCredentials? {
        guard let answer = try? JSONDecoder().decode(HelperAnswer.self, from: Data(output)) else { return nil }
        return RegistryCredentials(registry: registry, user: answer.Username, password: answer.Secret)
    }

    private struct HelperAnswer: Decodable {
        var Username: String
        var Secret: String
    }

    private struct File: Decodable {
        struct Entry: Decodable {
            var auth: String?
            var identitytoken: String?
        }

        var auths: [String: Entry]?
        var credHelpers: [String: String]?
        var credsStore: String?
    }
}
