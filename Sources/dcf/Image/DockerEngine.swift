import Engine
import Environments

/// The Docker engine of this machine, for one command.
enum DockerEngine {
    /// Runs `body` with the engine, and closes the connections afterwards.
    static func use<Result: Sendable>(
        _ body: (Engine) async throws(CommandFailure) -> Result
    ) async throws(CommandFailure) -> Result {
        let endpoint: EngineEndpoint
        do throws(EngineError) { endpoint = try EngineEndpoint(variables: EnvironmentVariables.ours()) } catch {
            throw CommandFailure("\(error)")
        }
        let engine = Engine(endpoint)
        do throws(CommandFailure) {
            let result = try await body(engine)
            await engine.shutdown()
            return result
        } catch {
            await engine.shutdown()
            throw error
        }
    }
}
