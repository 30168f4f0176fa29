import Environments
import FunctionConfig
import SystemPackage

/// This machine's interpreters, and the environments that `build` and `run` prepare: `$XDG_CACHE_HOME/dcf`.
struct LocalEnvironments {
    private let finder: InterpreterFinder
    private let cache: EnvironmentCache
    private let root: FilePath

    init() throws(CommandFailure) {
        let folder = try Self.folder(cacheHome: ProcessEnvironment["XDG_CACHE_HOME"], home: ProcessEnvironment.home)
        root = folder.appending("environments")
        // Without the launcher everything works, but what pip started may outlive us when we are killed.
        let launcher = try? WatcherProgram.find().string
        finder = InterpreterFinder(cacheFolder: folder.string, launcher: launcher)
        cache = EnvironmentCache(root: root.string, launcher: launcher)
    }

    /// The folder for what can be made again.
    static func folder(cacheHome: String?, home: String?) throws(CommandFailure) -> FilePath {
        // The XDG rules: a relative path there does not count.
        if let cacheHome, cacheHome.hasPrefix("/") { return FilePath(cacheHome).appending("dcf") }
        guard let home else { throw CommandFailure("set HOME or XDG_CACHE_HOME: there is no place for environments") }
        return FilePath(home).appending(".cache").appending("dcf")
    }

    /// - Parameter folder: what a relative `python` is relative to.
    func interpreter(for function: FunctionConfig, relativeTo folder: FilePath) async throws(CommandFailure)
        -> Interpreter
    {
        do throws(EnvironmentError) {
            return try await finder.find(function.python, relativeTo: folder.real.string)
        } catch {
            throw CommandFailure(function.failure(at: "python", "functions.\(function.name): \(error)"))
        }
    }

    /// - Parameters:
    ///   - isAnew: an environment that is there is removed first.
    ///   - onLine: gets the lines of pip.
    func prepare(
        _ interpreter: Interpreter, for function: FunctionConfig, in directory: FilePath, isAnew: Bool,
        onLine: @escaping @Sendable (String) -> Void
    ) async throws(CommandFailure) -> PythonEnvironment {
        let directory = directory.real
        func prepare() async throws(EnvironmentError) -> PythonEnvironment {
            try await cache.prepare(
                interpreter, requirements: directory.appending("requirements.txt").string, folder: directory.string,
                timeout: function.timeout.build ?? TimeoutConfig.buildDefault, onLine: onLine)
        }
        do throws(EnvironmentError) {
            let environment = try await prepare()
            guard isAnew, !environment.wasBuilt, let key = environment.key else { return environment }
            do throws(FileError) {
                try Folder.remove(root.appending(key).string)
            } catch {
                throw EnvironmentError.file(error)
            }
            return try await prepare()
        } catch {
            throw CommandFailure("\(function.name): \(error)")
        }
    }
}
