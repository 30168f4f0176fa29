import Engine
import Environments
import Subprocess
import SystemPackage

/// The credentials for a registry, from where `docker login` keeps them.
enum RegistryLogin {
    private static let outputBytesMax = 1 << 20

    /// Nil where nobody has logged in there.
    static func credentials(for registry: String) async throws(CommandFailure) -> RegistryCredentials? {
        do throws(EngineError) {
            switch try DockerConfig(variables: EnvironmentVariables.ours()).source(for: registry) {
            case .none: return nil
            case .credentials(let credentials): return credentials
            case .helper(let program, let server): return try await ask(program, server)
            }
        } catch { throw CommandFailure("\(error)") }
    }

    /// A helper has `get` on its command line and the server's name on its standard input; what it answers is never shown.
    private static func ask(_ program: String, _ server: String) async throws(EngineError) -> RegistryCredentials? {
        let answer: (isSuccess: Bool, output: String)
        do {
            let result = try await Subprocess.run(
                .name(program), arguments: ["get"], input: .string(server), output: .string(limit: outputBytesMax),
                error: .discarded)
            answer = (result.terminationStatus.isSuccess, result.standardOutput)
        } catch {
            throw EngineError(
                .registry,
                "Docker's config has \(program) keep the credentials of \(server), and it cannot be run; "
                    + "install it, or log in anew (docker login)")
        }
        // A helper that knows none fails.
        guard answer.isSuccess else { return nil }
        guard let credentials = DockerConfig.credentials(fromHelper: Array(answer.output.utf8), registry: server) else {
            throw EngineError(.registry, "\(program) gave no credentials for \(server); log in anew (docker login)")
        }
        return credentials
    }
}
