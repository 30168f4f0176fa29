internal import Foundation

/// The registry logins that Docker's command line keeps: `config.json` in `$DOCKER_CONFIG`, else in `~/.docker`.
/// https://docs.docker.com/reference/cli/docker/login/#credential-stores
package struct DockerConfig: Sendable {
    /// Where the credentials of a registry come from.
    package enum Source: Sendable, Equatable {
        case credentials(RegistryCredentials)
        /// The program `docker-credential-NAME`. Run it with `get`, and the server's name on standard input.
        case helper(program: String, server: String)
        /// There is no login for the registry.
        case none
    }

    private let file: File

    /// Reads the file. Without the file there are no logins.
    ///
    /// - Throws: if the file exists and is not readable as Docker's config.
    package init(variables: [String: String]) throws(EngineError) {
        let folder = variables["DOCKER_CONFIG"] ?? variables["HOME"].map { "\($0)/.docker" }
        guard let path = folder.map({ "\($0)/config.json" }), FileManager.default.fileExists(atPath: path) else {
            file = File()
            return
        }
        do {
            file = try JSONDecoder().decode(File.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            // The decoder's error may quote the file, and so a password.
            throw EngineError(
                .registry,
                "\(path) cannot be read as Docker's config; check that it is valid JSON and that you may read it")
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

    /// Reads the credentials that a helper wrote to its standard output.
    ///
    /// - Returns: nil if the output is not a helper's answer.
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
