import Environments
import Platform

/// The Pythons that this machine has.
enum RealPythons {
    static let pyenv =
        EnvironmentVariables.ours()["PYENV_ROOT"] ?? (EnvironmentVariables.ours()["HOME"] ?? "") + "/.pyenv"

    static func has(_ minor: String) -> Bool {
        guard let wanted = PythonVersion(minor) else { return false }
        let names = (try? Folder.names(at: pyenv + "/versions")) ?? []
        return names.contains { PythonVersion($0)?.satisfies(wanted) == true }
    }

    /// Whether a `python3` is on PATH at all.
    static let hasDefault = (EnvironmentVariables.ours()["PATH"] ?? "").split(separator: ":").contains {
        Folder.holds($0 + "/python3")
    }
}
