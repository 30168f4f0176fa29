/// A Python that functions can run on, and what it reports about itself.
package struct Interpreter: Sendable, Hashable, CustomStringConvertible {
    /// The path to run. For a venv this is its own `bin/python`, not the target of that link, so that its packages are
    /// found.
    package let path: String
    /// The executable with every link followed. For a venv, the executable of the Python that made it.
    package let realPath: String
    /// Three numbers: 3.12.1.
    package let version: PythonVersion
    /// Differs between builds of the same version in the same place: what the Python reports, and the size and time of
    /// its file.
    package let build: String
    /// Whether this is a venv of the author's. DCF never writes to it.
    package let isVenv: Bool
    /// `sys.prefix`: the folder of the venv or of the installation.
    package let prefix: String
    /// Whether this Python can make a venv with pip in it. Debian has that in a separate package, python3-venv.
    package let hasEnsurepip: Bool
    /// The version of the pip that this Python can import, if any.
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
