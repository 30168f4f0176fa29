/// Checks whether a venv of the author's meets requirements. Changes nothing in it.
struct RequirementCheck {
    /// Checks each requirement as pip would, with the module `packaging` of the venv, of its pip or of its Python's
    /// ensurepip. Without that module, only checks that a package of the name is installed.
    private static let script = """
        import glob, os, re, sys
        from importlib.metadata import PackageNotFoundError, version
        try:
            import ensurepip
            sys.path += glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl"))
        except ImportError:
            pass
        sys.path += glob.glob("/usr/share/python-wheels/pip-*.whl")
        Requirement = None
        for module in ("packaging.requirements", "pip._vendor.packaging.requirements"):
            try:
                Requirement = __import__(module, fromlist=["Requirement"]).Requirement
                break
            except Exception:
                pass
        def check(text, constraint):
            if "://" in text and " @ " not in text:
                name = re.search(r"#(?:.*&)?egg=([A-Za-z0-9._-]+)", text)
                if not name:
                    return
                text = name.group(1)
            if Requirement is None:
                name, marker, wanted = re.match(r"\\s*([A-Za-z0-9._-]*)", text).group(1), None, None
            else:
                parsed = Requirement(text)
                name, marker, wanted = parsed.name, parsed.marker, parsed.specifier
            if marker is not None and not marker.evaluate({"extra": ""}):
                return
            try:
                found = version(name)
            except PackageNotFoundError:
                if not constraint:
                    print("dcf:" + text + " is not installed")
                return
            if wanted is not None and not wanted.contains(found, prereleases=True):
                print("dcf:" + text + ", but " + found + " is installed")
        for argument in sys.argv[1:]:
            try:
                check(argument[1:], argument[0] == "c")
            except Exception as error:
                print("dcf:" + argument[1:] + " cannot be understood: " + str(error).splitlines()[0])
        """

    let launcher: String?
    let variables: [String: String]

    func run(_ interpreter: Interpreter, _ requirements: Requirements, timeout: Duration) async throws(EnvironmentError)
    {
        let asked = requirements.lines.map { ($0.isConstraint ? "c" : "r") + $0.text }
        let collected = LineCollector(limit: 1000)
        let command = ChildCommand(
            launcher: launcher, arguments: [interpreter.path, "-I", "-B", "-c", Self.script] + asked,
            variables: EnvironmentVariables.forProbe(variables), folder: "/")
        let outcome: ChildCommand.Outcome
        do throws(ChildCommandError) {
            outcome = try await command.run(timeout: timeout) { collected.add($0) }
        } catch {
            if case .cancelled = error { throw .cancelled }
            throw .interpreterBroken(path: interpreter.path, reason: error.description)
        }
        guard outcome.isSuccess else {
            throw .interpreterBroken(
                path: interpreter.path, reason: "\(outcome) (\(collected.all.suffix(1).joined()))")
        }
        let unmet = collected.all.filter { $0.hasPrefix("dcf:") }.map { String($0.dropFirst(4)) }
        guard unmet.isEmpty else { throw .unmetRequirements(venv: interpreter.prefix, unmet: unmet) }
    }
}
