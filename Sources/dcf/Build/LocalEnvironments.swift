import Environments
import FunctionConfig
import Platform
import SystemPackage

/// The interpreters of this machine, and the environments that `build` and `run` prepare in `$XDG_CACHE_HOME/dcf`.
struct LocalEnvironments {
    private let finder: InterpreterFinder
    private let cache: EnvironmentCache
    private let root: FilePath

    init() throws(CommandFailure) {
        let folder = try Self.folder(cacheHome: ProcessEnvironment["XDG_CACHE_HOME"], home: ProcessEnvironment.home)
        root = folder.appending("environments")
        // Everything works without the launcher, but children of pip may outlive this process if it is killed.
        let launcher = try? WatcherProgram.find().string
        finder = InterpreterFinder(cacheFolder: folder.string, launcher: launcher)
        cache = EnvironmentCache(root: root.string, launcher: launcher)
    }

    /// The folder for caches.
    static func folder(cacheHome: String?, home: String?) throws(CommandFailure) -> FilePath {
        // By the XDG rules a relative path does not count.
        if let cacheHome, cacheHome.hasPrefix("/") { return FilePath(cacheHome).appending("dcf") }
        guard let home else { throw CommandFailure("there is no folder for environments; set HOME or XDG_CACHE_HOME") }
        return FilePath(home).appending(".cache").appending("dcf")
    }

    /// - Parameter folder: the folder at which a relative `python` starts.
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
    ///   - isFresh: whether to remove an existing environment first.
    ///   - onLine: called with each line of pip's output.
    func prepare(
        _ interpreter: Interpreter, for function: FunctionConfig, in directory: FilePath, isFresh: Bool,
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
            guard isFresh, !environment.wasBuilt, let key = environment.key else { return environment }
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
