import Environments
import FunctionConfig
import Synchronization
import SystemPackage

/// Builds one function on this machine: checks the handler's syntax with the function's own interpreter, and prepares
/// the environment.
struct FunctionBuilding {
    let function: FunctionConfig
    let directory: FilePath
    /// The folder at which a relative `python` in the config starts.
    let configDirectory: FilePath
    let environments: LocalEnvironments
    let isVerbose: Bool

    /// - Parameter isFresh: whether to build an existing environment again.
    func run(isFresh: Bool) async throws(CommandFailure) -> PythonEnvironment {
        let line = ProgressLine()
        defer { line.clear() }
        let interpreter = try await environments.interpreter(for: function, relativeTo: configDirectory)
        try await HandlerCheck(function: function, directory: directory)
            .requireSyntax(python: FilePath(interpreter.path))
        let hasBegun = Mutex(false)
        let step = "\(function.name): preparing the environment for Python \(interpreter.version)"
        return try await environments.prepare(interpreter, for: function, in: directory, isFresh: isFresh) { output in
            // An existing environment needs no message.
            let isFirst = hasBegun.withLock { hasBegun in
                defer { hasBegun = true }
                return !hasBegun
            }
            if isFirst { line.step(step) }
            if isVerbose { line.line(output) }
        }
    }
}
