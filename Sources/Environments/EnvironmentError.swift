package import Platform

/// Why there is no Python for a function, or why its requirements are not installed. Each text says what to do.
package enum EnvironmentError: Error, Sendable, Hashable, CustomStringConvertible {
    /// There is no Python as `python:` names it. `lookedFor` lists the places tried, `atHand` the Pythons found
    /// elsewhere.
    case interpreterNotFound(wanted: String, lookedFor: [String], atHand: [String])
    case interpreterTooOld(path: String, version: PythonVersion)
    case notCPython(path: String, what: String)
    case interpreterBroken(path: String, reason: String)
    /// A line of a requirements file cannot be followed.
    case requirementsFile(path: String, line: Int, reason: String)
    /// The interpreter cannot make a venv with pip in it.
    case cannotMakeVenv(interpreter: String, version: PythonVersion, lastLines: [String])
    /// pip failed. Its last lines say why.
    case installFailed(requirements: String, outcome: String, lastLines: [String])
    case buildTimedOut(limit: Duration, lastLines: [String])
    /// The author's own venv lacks packages. DCF does not change it.
    case unmetRequirements(venv: String, unmet: [String])
    case diskFull(String)
    case file(FileError)
    /// The launcher or pip could not be started.
    case cannotStart(String)
    case cancelled

    package var isDiskFull: Bool {
        switch self {
        case .diskFull: true
        case .file(let error): error.isDiskFull
        default: false
        }
    }

    package var description: String {
        switch self {
        case .interpreterNotFound(let wanted, let lookedFor, let atHand):
            """
            no Python for \"\(wanted)\": looked for \(lookedFor.joined(separator: ", ")); \
            \(atHand.isEmpty ? "install one" : "set python: to one of " + atHand.joined(separator: ", "))
            """
        case .interpreterTooOld(let path, let version):
            "\(path) is Python \(version), but functions need \(PythonVersion.oldest) or later; "
                + "name another with python:"
        case .notCPython(let path, let what):
            "\(path) is \(what); functions need CPython \(PythonVersion.oldest) or later, with the GIL; "
                + "name another with python:"
        case .interpreterBroken(let path, let reason):
            "\(path) does not work as a Python: \(reason)"
        case .requirementsFile(let path, let line, let reason):
            line > 0 ? "\(path), line \(line): \(reason)" : "\(path): \(reason)"
        case .cannotMakeVenv(let interpreter, let version, let lastLines):
            """
            \(interpreter) (Python \(version)) cannot make a venv\
            \(lastLines.isEmpty ? ": it has neither pip 22.3 or later nor ensurepip" : ""); on Debian and Ubuntu: \
            apt-get install python\(interpreter.hasPrefix("/usr/bin/") ? "3" : version.minor)-venv\(Self.tail(lastLines))
            """
        case .installFailed(let requirements, let outcome, let lastLines):
            "pip cannot install \(requirements) (\(outcome))\(Self.tail(lastLines))"
        case .buildTimedOut(let limit, let lastLines):
            "the environment was not ready after \(limit); set timeout.build to allow more time\(Self.tail(lastLines))"
        case .unmetRequirements(let venv, let unmet):
            """
            the venv \(venv) does not meet the requirements; install them there, as DCF never changes it: \
            \(unmet.joined(separator: "; "))
            """
        case .diskFull(let what):
            "\(what): the disk is full"
        case .file(let error):
            error.description
        case .cannotStart(let what):
            what
        case .cancelled:
            "cancelled"
        }
    }

    private static func tail(_ lines: [String]) -> String {
        lines.isEmpty ? "" : ":\n" + lines.map { "  " + $0 }.joined(separator: "\n")
    }
}
