/// A Python that functions can run on, found and asked once.
package struct Interpreter: Sendable, Hashable, CustomStringConvertible {
    /// What to execute. For a venv its own `bin/python`, never what that links to, or its packages would not be found.
    package let path: String
    /// The executable behind it with every link followed; for a venv that of the Python it was made from.
    package let realPath: String
    /// Three numbers: 3.12.1.
    package let version: PythonVersion
    /// Tells it from another build of the same version in the same place: what it says of itself, and its file's size and time.
    package let build: String
    /// Whether it belongs to a venv of the author's, which is never written to.
    package let isVenv: Bool
    /// `sys.prefix`: the folder of the venv, or of the installation.
    package let prefix: String
    /// Whether it can make a venv that has a pip of its own (Debian ships that apart, as python3-venv).
    package let hasEnsurepip: Bool
    /// The version of the pip it can import, if any.
    package let pip: PythonVersion?

    package init(
        path: String, realPath: String, version: PythonVersion, isVenv: Bool, prefix: String, hasEnsurepip: Bool,
        pip: PythonVersion?, build: String = ""
    ) {
        self.path = path
        self.realPath = realPath
        self.version = version
        self.isVenv = isVenv
        self.prefix = prefix
        self.hasEnsurepip = hasEnsurepip
        self.pip = pip
        self.build = build
    }

    package var description: String { "Python \(version) (\(path)\(isVenv ? ", a venv" : ""))" }
}
