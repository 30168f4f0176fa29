import Platform
import SystemPackage
import Glibc

/// The venvs of functions: one for each pair of an interpreter and the content of requirements. The content includes
/// all files that the requirements lead to.
///
/// A venv cannot be moved, so it is made in its final place, `ROOT/<key>`, under a lock between processes. The file
/// `dcf-ready` in the venv, written last and synced, says that the venv is complete. A venv without this file is left
/// from a process that died, and is removed at the next use. Tasks that need the same venv wait for the one that builds
/// it, and share the result.
package final class EnvironmentCache: Sendable {
    /// How many lines of pip's output an error shows.
    static let lastLinesMax = 20
    static let readyFile = "dcf-ready"
    /// The time of this file is the time of the environment's last use.
    private static let usedFile = "dcf-used"

    private struct Failure {
        var count = 0
        var last: EnvironmentError?
    }

    /// How many failed builds are kept for tasks that wait. All are forgotten when there are this many.
    private static let failuresMax = 256

    private let root: String
    private let launcher: String?
    private let variables: [String: String]
    private let gate = KeyedMutex()
    private let failures = Lock<[String: Failure]>([:])

    /// - Parameters:
    ///   - root: the cache's folder. Made at the first use.
    ///   - launcher: the path of `dcf-watcher`, which starts all child processes. Nil starts them directly.
    ///   - variables: the variables of this process. pip gets some of them.
    package init(root: String, launcher: String?, variables: [String: String] = EnvironmentVariables.ours()) {
        self.root = Folder.resolved(root) ?? root
        self.launcher = launcher
        self.variables = variables
    }

    /// Returns the environment of a function, and builds it first if necessary.
    ///
    /// Without requirements this is the interpreter itself. If the interpreter is the author's own venv, it is that
    /// venv, which must meet the requirements.
    ///
    /// - Parameters:
    ///   - requirements: the path of the function's `requirements.txt`. The file need not exist.
    ///   - folder: the function's folder. pip runs there.
    ///   - timeout: how long a build may take, including the wait for another process that builds the same environment.
    ///   - onLine: called with each line of pip's output.
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

    /// The name of the environment that `prepare` would return now, whether or not it exists. Nil if none is needed.
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

    /// The name of the folder for an interpreter and requirements: 64 hexadecimal digits.
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

    /// Removes incomplete environments of processes that died. Keeps what another process is building now.
    package func removeUnfinished() throws(EnvironmentError) {
        do throws(FileError) {
            for name in try Folder.names(at: root) where name.utf8.count == 64 && !isReady(name) {
                guard let lock = try takeLock(name) else { continue }
                if !isReady(name) { try Folder.remove(root + "/" + name) }
                _ = consume lock
            }
        } catch { throw .file(error) }
    }

    /// Removes environments that were not used for this time. Keeps what is being built.
    ///
    /// - Parameter needed: the environments in use. They count as used now.
    /// - Returns: the names of the removed environments.
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

    /// Removes an environment.
    ///
    /// - Returns: false if it is being built, or was used in the meantime.
    private func removeNow(_ name: String, unusedFor time: Duration) -> Bool {
        do throws(FileError) {
            guard let lock = try takeLock(name) else { return false }
            guard isUnused(name, for: time) else { return false }
            // Without its mark it does not count as an environment, even if the removal stops halfway.
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

    /// Marks an environment as used now.
    private func touch(_ name: String) {
        let path = "\(root)/\(name)/\(Self.usedFile)"
        // On a full disk the environment looks older than it is. That does no harm: environments in use are kept
        // anyway.
        guard let file = try? OwnedDescriptor(path, flags: O_WRONLY | O_CREAT, mode: 0o644) else { return }
        futimens(file.rawValue, nil)
    }

    /// The name of the environment's own folder. `key` may be a link to it.
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
                // Share a failure with the tasks that waited for this build, instead of building again for each.
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
            // A folder that cannot be removed has no mark, so the next use builds it again.
            try? Folder.remove(place)
            throw error
        }
        _ = consume lock
        // Building a package in its own folder can leave files there and so change the key. It is still the same
        // package.
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

    /// Writes the mark. The whole venv is synced to the disk before the mark is written, and the mark before this
    /// returns.
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

/// A Python with a function's requirements installed, ready to run watchers.
package struct PythonEnvironment: Sendable, Hashable {
    /// The path of the interpreter to run.
    package let python: String
    package let version: PythonVersion
    /// The name of the folder in the cache. Nil if the interpreter itself is the environment.
    package let key: String?
    /// Whether this call built it.
    package let wasBuilt: Bool
}
