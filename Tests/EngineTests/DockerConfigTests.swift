import Engine
import Foundation
import Testing

@Suite struct DockerConfigTests {
    private static func config(_ json: String) throws -> DockerConfig {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("dcf-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(json.utf8).write(to: folder.appendingPathComponent("config.json"))
        return try DockerConfig(variables: ["DOCKER_CONFIG": folder.path])
    }

    private static func header(_ source: DockerConfig.Source) -> [String: String]? {
        guard case .credentials(let credentials) = source else { return nil }
        let text = credentials.header.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        return Data(base64Encoded: text).flatMap { try? JSONDecoder().decode([String: String].self, from: $0) }
    }

    @Test func findsLogins() throws {
        let auth = Data("me:pass:word".utf8).base64EncodedString()
        let config = try Self.config(
            #"{"auths":{"r.io":{"auth":"\#(auth)"},"https://index.docker.io/v1/":{"auth":"\#(auth)"}}}"#)
        #expect(
            Self.header(config.source(for: "r.io"))
                == ["serveraddress": "r.io", "username": "me", "password": "pass:word"])
        #expect(Self.header(config.source(for: "docker.io"))?["serveraddress"] == "https://index.docker.io/v1/")
        #expect(config.source(for: "other.io") == .none)
    }

    @Test func helpers() throws {
        let config = try Self.config(
            #"{"credHelpers":{"r.io":"gcr"},"credsStore":"pass","auths":{"r.io":{},"s.io":{}}}"#)
        #expect(config.source(for: "r.io") == .helper(program: "docker-credential-gcr", server: "r.io"))
        #expect(config.source(for: "s.io") == .helper(program: "docker-credential-pass", server: "s.io"))
    }

    @Test func descriptionsHideThePassword() {
        let credentials = RegistryCredentials(registry: "r.io", user: "me", password: "sesame")
        #expect("\(credentials) \(String(reflecting: credentials))".contains("sesame") == false)
    }

    @Test func withoutAFileThereAreNoCredentials() throws {
        let config = try DockerConfig(variables: ["DOCKER_CONFIG": "/nowhere"])
        #expect(config.source(for: "r.io") == .none)
    }

    @Test func theErrorForABrokenFileDoesNotQuoteIt() {
        #expect { try Self.config(#"{"auths":{"r.io":{"auth":"c2VzYW1l""#) } throws: {
            "\($0)".contains("cannot be read as Docker's config") && !"\($0)".contains("c2VzYW1l")
        }
    }
}
