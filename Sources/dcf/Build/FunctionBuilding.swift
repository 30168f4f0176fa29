import Environments
import FunctionConfig
import Synchronization
import SystemPackage

/// Builds one function on this machine: its handler's syntax checked by its own interpreter, its environment prepared.
struct FunctionBuilding {
    let function: FunctionConfig
    let directory: FilePath
    /// What a relative `python` of the config is relative to.
    let configDirectory: FilePath
    let environments: LocalEnvironments
    let isVerbose: Bool

    /// - Parameter isAnew: does not take an environment that is there already.
    func run(isAnew: Bool) async throws(CommandFailure) -> PythonEnvironment {
        let line = ProgressLine()
        defer { line.clear() }
        let interpreter = try await environments.interpreter(for: function, relativeTo: configDirectory)
        try await HandlerCheck(function: function, directory: directory)
            .requireSyntax(python: FilePath(interpreter.path))
        let hasBegun = Mutex(false)
        let step = "\(function.name): preparing the environment for Python \(interpreter.version)"
        return try await environments.prepare(interpreter, for: function, in: directory, isAnew: isAnew) { output in
            // An environment that is there already is not worth a word.
            let isFirst = hasBegun.withLock { hasBegun in
                defer { hasBegun = true }
                return !hasBegun
            }
            if isFirst { line.step(step) }
            if isVerbose { line.line(output) }
        }
    }
}
