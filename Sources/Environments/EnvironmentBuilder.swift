import Platform

/// Makes one venv and installs requirements into it. After an error the caller removes the venv.
///
/// The venv gets no pip of its own if the interpreter's pip can install into another Python (22.3 and later). That
/// takes a tenth of a second instead of several seconds. Before Python 3.12, the venv still gets setuptools, as a plain
/// venv does.
struct EnvironmentBuilder: Sendable {
    private static let pipForOthers = PythonVersion(22, 3)
    /// From this version on, pip always builds packages without pyproject.toml in isolation from the venv.
    private static let pipIsolates = PythonVersion(23, 1)

    let place: String
    let interpreter: Interpreter
    let requirements: Requirements
    let folder: String
    let launcher: String?
    let variables: [String: String]
    let deadline: ContinuousClock.Instant
    let timeout: Duration
    let onLine: @Sendable (String) -> Void

    private var python: String { place + "/bin/python" }
    private var usesOwnPip: Bool { interpreter.pip.map { $0 >= Self.pipForOthers } ?? false }

    func build() async throws(EnvironmentError) {
        try await makeVenv()
        var pip = [python, "-I", "-m", "pip"]
        if usesOwnPip {
            pip = [interpreter.path, "-I", "-m", "pip", "--python", python]
            try await installSetuptools(pip)
        }
        var install = pip + ["install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        if let version = interpreter.pip, usesOwnPip, version < Self.pipIsolates { install.append("--use-pep517") }
        let (outcome, lines) = try await run(install + ["-r", requirements.path])
        guard outcome.isSuccess else {
            try throwIfDiskFull(lines)
            throw .installFailed(requirements: requirements.path, outcome: "\(outcome)", lastLines: lines)
        }
    }

    private func makeVenv() async throws(EnvironmentError) {
        guard usesOwnPip || interpreter.hasEnsurepip else {
            throw .cannotMakeVenv(interpreter: interpreter.path, version: interpreter.version, lastLines: [])
        }
        let options = usesOwnPip ? ["--without-pip"] : []
        let (outcome, lines) = try await run([interpreter.path, "-I", "-m", "venv"] + options + [place])
        guard outcome.isSuccess else {
            try throwIfDiskFull(lines)
            throw .cannotMakeVenv(interpreter: interpreter.path, version: interpreter.version, lastLines: lines)
        }
    }

    /// Installs the setuptools that came with the interpreter, as `python -m venv` does before 3.12. Many older
    /// packages use its `pkg_resources` without requiring it.
    private func installSetuptools(_ pip: [String]) async throws(EnvironmentError) {
        guard interpreter.version < PythonVersion(3, 12) else { return }
        for folder in wheelFolders {
            let names = (try? Folder.names(at: folder)) ?? []
            guard let wheel = names.first(where: { $0.hasPrefix("setuptools-") && $0.hasSuffix(".whl") }) else {
                continue
            }
            let (outcome, lines) = try await run(
                pip + [
                    "install", "--disable-pip-version-check", "--no-input", "--quiet", "--no-index", "--no-deps",
                    "--no-compile",
                    folder + "/" + wheel,
                ])
            guard outcome.isSuccess else {
                try throwIfDiskFull(lines)
                throw .installFailed(requirements: wheel, outcome: "\(outcome)", lastLines: lines)
            }
            return
        }
    }

    /// Where an interpreter keeps the wheels for new venvs: in ensurepip, or in Debian's folder for them.
    private var wheelFolders: [String] {
        ["\(interpreter.prefix)/lib/python\(interpreter.version.minor)/ensurepip/_bundled", "/usr/share/python-wheels"]
    }

    private func run(_ arguments: [String]) async throws(EnvironmentError) -> (ChildCommand.Outcome, [String]) {
        let last = LineCollector(limit: EnvironmentCache.lastLinesMax)
        let command = ChildCommand(launcher: launcher, arguments: arguments, variables: variables, folder: folder)
        let left = ContinuousClock.now.duration(to: deadline)
        do throws(ChildCommandError) {
            let onLine = onLine
            let outcome = try await command.run(timeout: max(left, .zero)) { line in
                last.add(line)
                onLine(line)
            }
            return (outcome, last.all)
        } catch {
            switch error {
            case .cancelled: throw .cancelled
            case .timedOut: throw .buildTimedOut(limit: timeout, lastLines: last.all)
            case .cannotStart: throw .cannotStart(error.description)
            }
        }
    }

    private func throwIfDiskFull(_ lines: [String]) throws(EnvironmentError) {
        if lines.contains(where: { $0.contains("[Errno 28]") || $0.contains("No space left on device") }) {
            throw .diskFull("the environment cannot be built in \(place)")
        }
    }
}
