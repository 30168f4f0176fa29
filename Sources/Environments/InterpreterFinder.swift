import Glibc
import Platform
import SystemPackage

/// Finds the interpreter that a function's `python:` names.
///
/// Nil means `python3` on PATH. `3.12` or `3.12.1` means a Python of that version on PATH, of pyenv, of the system, of
/// conda or of uv. Anything else is the path of an interpreter, of a venv, or of a venv's `bin/python`. Each
/// interpreter is asked about itself once, and the answer is kept on disk until its file changes. So a second search
/// starts no Python.
package final class InterpreterFinder: Sendable {
    private let variables: [String: String]
    private let answers: InterpreterAnswers
    private let probe: InterpreterProbe
    private let gate = KeyedMutex()

    /// - Parameters:
    ///   - cacheFolder: where answers are kept. Nil keeps them in memory only.
    ///   - launcher: the path of `dcf-watcher`. Nil starts interpreters directly.
    ///   - variables: the variables of this process.
    package init(cacheFolder: String?, launcher: String?, variables: [String: String] = EnvironmentVariables.ours()) {
        self.variables = variables
        answers = InterpreterAnswers(file: cacheFolder.map { $0 + "/interpreters" })
        probe = InterpreterProbe(launcher: launcher, variables: EnvironmentVariables.forProbe(variables))
    }

    /// Finds an interpreter. A relative path starts at `folder`: the function's folder, or that of its config.
    package func find(_ wanted: String?, relativeTo folder: String) async throws(EnvironmentError) -> Interpreter {
        let search = InterpreterSearch(variables: variables, folder: folder)
        guard let wanted, wanted != "python3", wanted != "python" else {
            return try await first(of: search.named("python3"), wanted: nil, name: "python3", search)
        }
        if let version = PythonVersion(wanted) {
            guard version >= .oldest || version.numbers == [3] else {
                throw .interpreterTooOld(path: "python: \(wanted)", version: version)
            }
            return try await first(of: search.versioned(version), wanted: version, name: wanted, search)
        }
        let expanded = wanted.hasPrefix("~/") ? (variables["HOME"] ?? "") + wanted.dropFirst() : wanted
        let path = FilePath(folder).pushing(FilePath(expanded)).lexicallyNormalized().string
        if let program = InterpreterSearch.program(at: path) {
            guard let candidates = search.behindShim(program) else { return try await ask(program) }
            return try await first(of: candidates, wanted: nil, name: wanted, search)
        }
        if !wanted.contains("/"), wanted.hasPrefix("python") {
            return try await first(of: search.named(wanted), wanted: nil, name: wanted, search)
        }
        throw .interpreterNotFound(wanted: wanted, lookedFor: [path, path + "/bin/python"], atHand: search.atHand())
    }

    /// The first candidate that works and has the wanted version. If it is a venv, it counts as an installation, since
    /// the author did not name it.
    private func first(
        of candidates: [InterpreterSearch.Candidate], wanted: PythonVersion?, name: String, _ search: InterpreterSearch
    ) async throws(EnvironmentError) -> Interpreter {
        var failure: EnvironmentError?
        for candidate in candidates {
            do throws(EnvironmentError) {
                let found = try await ask(candidate.path)
                if let wanted, !found.version.satisfies(wanted) { continue }
                return found.asInstallation()
            } catch {
                if case .cancelled = error { throw error }
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        let lookedFor =
            wanted.map {
                $0.numbers.count > 1
                    ? ["python\($0.minor) on PATH", "\($0) of pyenv", "/usr/local/bin", "/usr/bin", "conda", "uv"]
                    : ["python\($0) on PATH", "\($0) of pyenv"]
            } ?? ["\(name) on PATH"]
        throw .interpreterNotFound(wanted: name, lookedFor: lookedFor, atHand: search.atHand())
    }

    private func ask(_ path: String) async throws(EnvironmentError) -> Interpreter {
        guard let identity = InterpreterAnswers.identity(of: path) else {
            throw .interpreterBroken(path: path, reason: "the file is gone")
        }
        if let known = answers[identity] { return known }
        let result: Result<Interpreter, EnvironmentError>
        do throws(CancellationError) {
            result = try await gate.run(path) {
                if let known = answers[identity] { return .success(known) }
                do throws(EnvironmentError) {
                    let interpreter = try await probe.ask(path)
                    answers.keep(interpreter, as: identity)
                    return .success(interpreter)
                } catch { return .failure(error) }
            }
        } catch { throw .cancelled }
        return try result.get()
    }
}

extension Interpreter {
    /// The interpreter as an installation from which environments are made, even if it is a venv.
    fileprivate func asInstallation() -> Interpreter {
        Interpreter(
            path: path, realPath: realPath, version: version, isVenv: false, prefix: prefix, hasEnsurepip: hasEnsurepip,
            pip: pip, build: build)
    }
}
