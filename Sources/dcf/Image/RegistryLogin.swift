import Engine
import Environments
import Subprocess
import SystemPackage

/// Reads the credentials for a registry from the place where `docker login` keeps them.
enum RegistryLogin {
    private static let outputBytesMax = 1 << 20

    /// The credentials for a registry. Nil if there is no login.
    static func credentials(for registry: String) async throws(CommandFailure) -> RegistryCredentials? {
        do throws(EngineError) {
            switch try DockerConfig(variables: EnvironmentVariables.ours()).source(for: registry) {
            case .none: return nil
            case .credentials(let credentials): return credentials
            case .helper(let program, let server): return try await ask(program, server)
            }
        } catch { throw CommandFailure("\(error)") }
    }

    /// Runs a helper with the argument `get` and the server's name on standard input. Its answer is never shown.
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
                "Docker's config leaves the credentials for \(server) to \(program), which cannot be run; "
                    + "install it, or log in again (docker login)")
        }
        // A helper without credentials for the server fails.
        guard answer.isSuccess else { return nil }
        guard let credentials = DockerConfig.credentials(fromHelper: Array(answer.output.utf8), registry: server) else {
            throw EngineError(.registry, "\(program) gave no credentials for \(server); log in again (docker login)")
        }
        return credentials
    }
}
