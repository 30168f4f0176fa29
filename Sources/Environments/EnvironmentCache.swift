import Locks
import SystemPackage
import Glibc

/// The venvs made for functions, one for each interpreter and content of requirements: of everything that they lead to, wherever
/// it lies.
///
/// A venv cannot be moved, so it is made where it stays, `ROOT/<key>`, under a lock between processes; the file `dcf-ready` in it,
/// written last and synced, says that it is whole. What lacks it was left by a process that died, and is removed at the next
/// use. Tasks that ask for the same venv wait for the one that builds it and share its outcome.
package final class EnvironmentCache: Sendable {
    /// Lines of pip's output kept for an error.
    static let lastLinesMax = 20
    static let readyFile = "dcf-ready"
    /// Its time is when the environment was last asked for.
    private static let usedFile = "dcf-used"

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
        let requirements = try Requirements(file: path, variables: EnvironmentVariables.forInstaller(variables))
        if requirements.isEmpty {
            return PythonEnvironment(python: interpreter.path, version: interpreter.version, key: nil, wasBuilt: false)
        }
        if interpreter.isVenv {
            let check = RequirementCheck(launcher: launcher, variables: variables)
            try await check.run(interpreter, requirements, timeout: timeout)
            return PythonEnvironment(python: interpreter.path, version: interpreter.version, key: nil, wasBuilt: false)
        }
        let key = try key(interpreter, requirements)
        if isReady(key) { return environment(key, interpreter, wasBuilt: false) }
        return try await buildOnce(key, onLine: onLine) { () async throws(EnvironmentError) in
            try await self.build(
                key, interpreter, requirements, folder: folder, deadline: .now + timeout, timeout: timeout,
                onLine: onLine)
        }
    }

    /// The name of the environment that `prepare` would answer with now, whether or not it is there; nil where none is needed.
    package func name(_ interpreter: Interpreter, requirements path: String) throws(EnvironmentError) -> String? {
        let requirements = try Requirements(file: path, variables: EnvironmentVariables.forInstaller(variables))
        guard !requirements.isEmpty, !interpreter.isVenv else { return nil }
        return real(try key(interpreter, requirements))
    }

    private func key(_ interpreter: Interpreter, _ requirements: Requirements) throws(EnvironmentError) -> String {
        try Self.key(
            interpreter, requirements,
            settings: InstallerSettings(variables: EnvironmentVariables.forInstaller(variables)))
    }

    /// The folder's name for an interpreter and requirements: 64 hexadecimal digits.
    static func key(
        _ interpreter: Interpreter, _ requirements: Requirements,
        settings: InstallerSettings = InstallerSettings(variables: [:])
    ) throws(EnvironmentError) -> String {
        var digest = Digest()
        digest.addCounted(Array("dcf environment 2".utf8))
        digest.addCounted(Array(interpreter.realPath.utf8))
        digest.addCounted(Array(interpreter.version.description.utf8))
        digest.addCounted(Array(interpreter.build.utf8))
        for content in requirements.contents { digest.addCounted(content) }
        for line in requirements.expanded { digest.addCounted(Array(line.utf8)) }
        for source in requirements.sources {
            digest.addCounted(Array(source.kind.rawValue.utf8))
            digest.addCounted(Array((FilePath(source.path).lastComponent?.string ?? "").utf8))
            digest.addCounted(Array(try source.digest().utf8))
        }
        settings.add(to: &digest, prefix: interpreter.prefix)
        return digest.hexadecimal()
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

    /// Removes environments that have not been asked for in this time. What is being built stays.
    ///
    /// - Parameter needed: these are in use, and count as asked for now.
    /// - Returns: the names of those that were removed.
    package func removeUnused(besides needed: Set<String>, unusedFor time: Duration) -> [String] {
        let needed = Set(needed.map { real($0) })
        var removed: [String] = []
        let names = ((try? Folder.names(at: root)) ?? []).filter { $0.utf8.count == 64 && isReady($0) }
        for name in names where real(name) == name {
            if needed.contains(name) {
                touch(name)
            } else if isUnused(name, for: time), removeNow(name, unusedFor: time) {
                removed.append(name)
            }
        }
        for name in names where !isReady(name) { unlink("\(root)/\(name)") }
        return removed
    }

    /// - Returns: false where it is being built, or was asked for meanwhile.
    private func removeNow(_ name: String, unusedFor time: Duration) -> Bool {
        do throws(FileError) {
            guard let lock = try takeLock(name) else { return false }
            guard isUnused(name, for: time) else { return false }
            // Without its mark it is none, however far the removal gets.
            unlink("\(root)/\(name)/\(Self.readyFile)")
            try Folder.remove("\(root)/\(name)")
            _ = consume lock
            return true
        } catch { return false }
    }

    private func isUnused(_ name: String, for time: Duration) -> Bool {
        var status = stat()
        guard
            stat("\(root)/\(name)/\(Self.usedFile)", &status) == 0
                || stat("\(root)/\(name)/\(Self.readyFile)", &status) == 0
        else { return false }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let age =
            Duration.seconds(now.tv_sec - status.st_mtim.tv_sec)
            + .nanoseconds(now.tv_nsec - status.st_mtim.tv_nsec)
        return age >= time
    }

    /// It is asked for now.
    private func touch(_ name: String) {
        let path = "\(root)/\(name)/\(Self.usedFile)"
        // A disk that takes nothing more makes it look older, and no harm: what is needed is kept all the same.
        guard let file = try? OwnedDescriptor(path, flags: O_WRONLY | O_CREAT, mode: 0o644) else { return }
        futimens(file.rawValue, nil)
    }

    /// The name of the environment's own folder: another name may stand for it.
    private func real(_ key: String) -> String {
        guard let path = Folder.resolved("\(root)/\(key)") else { return key }
        return FilePath(path).lastComponent?.string ?? key
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
        // A package that is built in its own folder leaves files there: with them it is the same package.
        if let now = try? self.key(interpreter, requirements), now != key { symlink(key, "\(root)/\(now)") }
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
        let key = real(key)
        touch(key)
        return PythonEnvironment(
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
