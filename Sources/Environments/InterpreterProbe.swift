import Platform

/// Runs an interpreter once to ask it about itself.
struct InterpreterProbe {
    /// Runs on every Python, 2.7 included, so that a Python that is too old can report its version.
    private static let script = """
        import sys
        def line(key, value):
            sys.stdout.write("dcf:" + key + "=" + str(value) + "\\n")
        line("version", ".".join(str(n) for n in sys.version_info[:3]))
        line("implementation", getattr(getattr(sys, "implementation", None), "name", "cpython"))
        line("threading", "free" if "t" in getattr(sys, "abiflags", "") else "gil")
        line("executable", sys.executable)
        line("base", getattr(sys, "_base_executable", None) or sys.executable)
        line("prefix", sys.prefix)
        def say(key, value):
            line(key, " ".join(str(value).split()))
        say("build", sys.version)
        if sys.version_info >= (3, 9):
            import sysconfig
            say("abi", sysconfig.get_config_var("SOABI"))
            say("base_prefix", sys.base_prefix)
        line("venv", int(sys.prefix != getattr(sys, "base_prefix", sys.prefix)))
        if sys.version_info >= (3, 9):
            from importlib.util import find_spec
            from importlib.metadata import PackageNotFoundError, version
            line("ensurepip", int(find_spec("ensurepip") is not None))
            try:
                line("pip", version("pip"))
            except PackageNotFoundError:
                pass
        """

    let launcher: String?
    /// The variables that the interpreter runs with.
    let variables: [String: String]

    /// Asks the interpreter at `path`. Throws if functions cannot run on it.
    func ask(_ path: String) async throws(EnvironmentError) -> Interpreter {
        let lines = LineCollector(limit: 64)
        let command = ChildCommand(
            launcher: launcher, arguments: [path, "-E", "-s", "-B", "-c", Self.script], variables: variables,
            folder: "/")
        let outcome: ChildCommand.Outcome
        do throws(ChildCommandError) {
            outcome = try await command.run(timeout: .seconds(30)) { lines.add($0) }
        } catch {
            if case .cancelled = error { throw .cancelled }
            throw .interpreterBroken(path: path, reason: error.description)
        }
        guard outcome.isSuccess else {
            let last = lines.all.last.map { ": " + $0 } ?? ""
            throw .interpreterBroken(path: path, reason: "it ended with \(outcome)\(last)")
        }
        return try interpret(lines.all, path: path)
    }

    private func interpret(_ lines: [String], path: String) throws(EnvironmentError) -> Interpreter {
        var answers: [String: String] = [:]
        for line in lines where line.hasPrefix("dcf:") {
            let pair = line.dropFirst(4).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { answers[String(pair[0])] = String(pair[1]) }
        }
        guard let version = answers["version"].flatMap({ PythonVersion($0) }), let executable = answers["executable"]
        else {
            throw .interpreterBroken(path: path, reason: "it does not answer like Python")
        }
        guard version >= .oldest else { throw .interpreterTooOld(path: path, version: version) }
        let implementation = answers["implementation"] ?? "unknown"
        guard implementation == "cpython" else { throw .notCPython(path: path, what: implementation) }
        guard answers["threading"] != "free" else { throw .notCPython(path: path, what: "a free-threaded build") }
        let base = answers["base"] ?? executable
        let isVenv = answers["venv"] == "1"
        let realPath = Folder.resolved(base) ?? base
        return Interpreter(
            path: isVenv || executable.isEmpty ? path : executable, realPath: realPath, version: version,
            isVenv: isVenv, prefix: answers["prefix"] ?? "", hasEnsurepip: answers["ensurepip"] == "1",
            pip: answers["pip"].flatMap { PythonVersion(leadingIn: $0) },
            build: [answers["build"], answers["abi"], answers["base_prefix"], InterpreterAnswers.content(of: realPath)]
                .map { $0 ?? "-" }.joined(separator: "; "))
    }
}
