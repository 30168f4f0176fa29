import Locks
import SystemPackage
import Glibc

/// The venvs made for functions, one for each interpreter and content of requirements.
///
/// A venv cannot be moved, so it is made where it stays, `ROOT/<key>`, under a lock between processes; the file `dcf-ready` in it,
/// written last and synced, says that it is whole. What lacks it was left by a process that died, and is removed at the next
/// use. Tasks that ask for the same venv wait for the one that builds it and share its outcome.
package final class EnvironmentCache: Sendable {
    /// Lines of pip's output kept for an error.
    static let lastLinesMax = 20
    static let readyFile = "dcf-ready"

    private struct Failure {
        var count = 0
        var last: EnvironmentError?
    }

    /// Failed builds that are remembered for tasks still waiting; forgotten when there are this many.
    private static let failuresMax = 256

    private let root: String
    private let launcher: String?
    private let variables: [String: String]
    private let gate = KeyedGate()
    private let failures = Lock<[String: Failure]>([:])

    /// - Parameters:
    ///   - root: the cache's folder, made when first needed.
    ///   - launcher: the path of `dcf-watcher`, through which everything is started; nil starts directly.
    ///   - variables: our own environment, of which pip sees a part.
    package init(root: String, launcher: String?, variables: [String: String] = EnvironmentVariables.ours()) {
        self.root = Folder.resolved(root) ?? root
        self.launcher = launcher
        self.variables = variables
    }

    /// The environment for a function, built if it is not there yet.
    ///
    /// Nothing required: the interpreter itself. The author's own venv: that, once it meets the requirements.
    /// - Parameters:
    ///   - requirements: the path of the function's `requirements.txt`; it need not exist.
    ///   - folder: the function's folder, where pip runs.
    ///   - timeout: how long a build may take, waiting for another process that builds the same included.
    ///   - onLine: gets pip's output, line by line.
    package func prepare(
        _ interpreter: Interpreter, requirements path: String, folder: String, timeout: Duration,
        onLine: @escaping @Sendable (String) -> Void
    ) async throws(EnvironmentError) -> PythonEnvironment {
        let requirements = try Requirements(file: path)
        if requirements.isEmpty {
            return PythonEnvironment(python: interpreter.path, version: interpreter.version, key: nil, wasBuilt: false)
        }
        if interpreter.isVenv {
            let check = RequirementCheck(launcher: launcher, variables: variables)
            try await check.run(interpreter, requirements, timeout: timeout)
            return PythonEnvironment(python: interpreter.path, version: interpreter.version, key: nil, wasBuilt: false)
        }
        let key = try Self.key(interpreter, requirements)
        if isReady(key) { return environment(key, interpreter, wasBuilt: false) }
        return try await buildOnce(key, onLine: onLine) { () async throws(EnvironmentError) in
            try await self.build(
                key, interpreter, requirements, folder: folder, deadline: .now + timeout, timeout: timeout,
                onLine: onLine)
        }
    }

    /// The folder's name for an interpreter and requirements: 64 hexadecimal digits.
    static func key(_ interpreter: Interpreter, _ requirements: Requirements) throws(EnvironmentError) -> String {
        var digest = Digest()
        digest.addCounted(Array("dcf environment 1".utf8))
        digest.addCounted(Array(interpreter.realPath.utf8))
        digest.addCounted(Array(interpreter.version.description.utf8))
        for content in requirements.contents { digest.addCounted(content) }
        for path in requirements.localPaths { digest.addCounted(Array(try content(of: path, requirements).utf8)) }
        return digest.hexadecimal()
    }

    /// A digest of a package of the author's own, a file or a folder, so that a change of it makes another environment.
    private static func content(of path: String, _ requirements: Requirements) throws(EnvironmentError) -> String {
        do throws(BundleError) {
            if let names = try? Folder.names(at: path), !names.isEmpty {
                return try Bundle.pack(folder: path) { _ in }.sha256
            }
            return try bundling { () throws(FileError) in
                var digest = Digest()
                digest.add(try WholeFile.read(path, limit: 1 << 30))
                return digest.hexadecimal()
            }
        } catch {
            throw .requirementsFile(path: requirements.path, line: 0, reason: error.description)
        }
    }

    /// Removes what processes that died have left unfinished. What another process is building now stays.
    package func removeUnfinished() throws(EnvironmentError) {
        do throws(FileError) {
            for name in try Folder.names(at: root) where name.utf8.count == 64 && !isReady(name) {
                guard let lock = try takeLock(name) else { continue }
                if !isReady(name) { try Folder.remove(root + "/" + name) }
                _ = consume lock
            }
        } catch { throw .file(error) }
    }

    private func buildOnce(
        _ key: String, onLine: @escaping @Sendable (String) -> Void,
        _ build: @Sendable () async throws(EnvironmentError) -> PythonEnvironment
    ) async throws(EnvironmentError) -> PythonEnvironment {
        let failuresBefore = failures.withLock { $0[key]?.count ?? 0 }
        let result: Result<PythonEnvironment, EnvironmentError>
        do throws(CancellationError) {
            result = try await gate.run(key) {
                // Whoever waited while a build failed need not see it fail again.
                let shared = failures.withLock { $0[key].flatMap { $0.count > failuresBefore ? $0.last : nil } }
                if let shared { return .failure(shared) }
                do throws(EnvironmentError) {
                    let environment = try await build()
                    failures.withLock { $0[key] = nil }
                    return .success(environment)
                } catch {
                    if error != .cancelled { remember(error, for: key) }
                    return .failure(error)
                }
            }
        } catch { throw .cancelled }
        return try result.get()
    }

    private func remember(_ error: EnvironmentError, for key: String) {
        failures.withLock { failures in
            if failures.count >= Self.failuresMax { failures.removeAll() }
            let count = failures[key]?.count ?? 0
            failures[key] = Failure(count: count + 1, last: error)
        }
    }

    private func build(
        _ key: String, _ interpreter: Interpreter, _ requirements: Requirements, folder: String,
        deadline: ContinuousClock.Instant, timeout: Duration, onLine: @escaping @Sendable (String) -> Void
    ) async throws(EnvironmentError) -> PythonEnvironment {
        let lock = try await waitForLock(key, deadline: deadline, timeout: timeout, onLine: onLine)
        if isReady(key) { return environment(key, interpreter, wasBuilt: false) }
        let place = root + "/" + key
        do throws(FileError) { try Folder.remove(place) } catch { throw .file(error) }
        let builder = EnvironmentBuilder(
            place: place, interpreter: interpreter, requirements: requirements, folder: folder, launcher: launcher,
            variables: EnvironmentVariables.forInstaller(variables), deadline: deadline, timeout: timeout,
            onLine: onLine)
        do throws(EnvironmentError) {
            try await builder.build()
            try markReady(place, interpreter, requirements)
        } catch {
            // What stays because it cannot be removed lacks the mark, and is tried again at the next use.
            try? Folder.remove(place)
            throw error
        }
        _ = consume lock
        return environment(key, interpreter, wasBuilt: true)
    }

    private func waitForLock(
        _ key: String, deadline: ContinuousClock.Instant, timeout: Duration, onLine: @Sendable (String) -> Void
    ) async throws(EnvironmentError) -> FileLock {
        var isFirst = true
        while true {
            do throws(FileError) {
                if let lock = try takeLock(key) { return lock }
            } catch { throw .file(error) }
            if isFirst { onLine("waiting for another process that is building the same environment") }
            isFirst = false
            guard ContinuousClock.now < deadline else { throw .buildTimedOut(limit: timeout, lastLines: []) }
            do { try await Task.sleep(for: .milliseconds(100)) } catch { throw .cancelled }
        }
    }

    private func takeLock(_ key: String) throws(FileError) -> FileLock? {
        try Folder.make(root + "/locks")
        return try FileLock.tryTake("\(root)/locks/\(key)")
    }

    private func isReady(_ key: String) -> Bool {
        Folder.holds("\(root)/\(key)/\(Self.readyFile)")
    }

    private func environment(_ key: String, _ interpreter: Interpreter, wasBuilt: Bool) -> PythonEnvironment {
        PythonEnvironment(
            python: "\(root)/\(key)/bin/python", version: interpreter.version, key: key, wasBuilt: wasBuilt)
    }

    /// All of the venv is on the disk before the mark is, and the mark before anybody is told.
    private func markReady(
        _ place: String, _ interpreter: Interpreter, _ requirements: Requirements
    ) throws(EnvironmentError) {
        let lines = requirements.lines.filter { !$0.isConstraint }.map(\.text).joined(separator: "\n")
        do throws(FileError) {
            try OwnedDescriptor(place, flags: O_RDONLY | O_DIRECTORY).syncFileSystem(path: place)
            try WholeFile.replace(place + "/" + Self.readyFile, with: Array("\(interpreter)\n\(lines)\n".utf8))
            try Folder.sync(root)
        } catch { throw .file(error) }
    }
}
