/// Why there is no Python for a function, or not the packages it requires. Each says what to do about it.
package enum EnvironmentError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Nothing is where `python:` points; `lookedFor` is what was tried, `atHand` the Pythons found instead.
    case interpreterNotFound(wanted: String, lookedFor: [String], atHand: [String])
    case interpreterTooOld(path: String, version: PythonVersion)
    case notCPython(path: String, what: String)
    case interpreterBroken(path: String, reason: String)
    /// A line of a requirements file cannot be followed.
    case requirementsFile(path: String, line: Int, reason: String)
    /// The interpreter can make no venv with pip in it.
    case cannotMakeVenv(interpreter: String, version: PythonVersion, lastLines: [String])
    /// pip said no; its last lines say why.
    case installFailed(requirements: String, outcome: String, lastLines: [String])
    case buildTimedOut(limit: Duration, lastLines: [String])
    /// The author's own venv lacks packages; it is not ours to change.
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
            \(atHand.isEmpty ? "no other Python is at hand" : "at hand: " + atHand.joined(separator: ", "))
            """
        case .interpreterTooOld(let path, let version):
            "\(path) is Python \(version), but functions need \(PythonVersion.oldest) or later; name another with python:"
        case .notCPython(let path, let what):
            "\(path) is \(what); functions need CPython \(PythonVersion.oldest) or later with the usual lock"
        case .interpreterBroken(let path, let reason):
            "\(path) does not work as a Python: \(reason)"
        case .requirementsFile(let path, let line, let reason):
            line > 0 ? "\(path), line \(line): \(reason)" : "\(path): \(reason)"
        case .cannotMakeVenv(let interpreter, let version, let lastLines):
            """
            \(interpreter) (Python \(version)) has neither pip 22.3 or later nor what makes a venv with pip; on Debian and Ubuntu: \
            apt-get install python\(interpreter.hasPrefix("/usr/bin/") ? "3" : version.minor)-venv\(Self.tail(lastLines))
            """
        case .installFailed(let requirements, let outcome, let lastLines):
            "pip cannot install \(requirements) (\(outcome))\(Self.tail(lastLines))"
        case .buildTimedOut(let limit, let lastLines):
            "the environment was not ready after \(limit); timeout.build allows more\(Self.tail(lastLines))"
        case .unmetRequirements(let venv, let unmet):
            "the venv \(venv) does not meet the requirements, and it is not ours to change: \(unmet.joined(separator: "; "))"
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
