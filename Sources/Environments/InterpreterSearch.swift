import Glibc
import Platform
import SystemPackage

/// Finds the possible Pythons on this machine by their names and folders. Runs none of them.
struct InterpreterSearch {
    struct Candidate: Hashable {
        let path: String
        /// The Python in an error text: `3.12.1 (pyenv)`.
        let label: String
    }

    /// Variables of this process: PATH, HOME, PYENV_ROOT, PYENV_VERSION and CONDA_PREFIX are used.
    let variables: [String: String]
    /// The folder where pyenv starts to look for `.python-version`.
    let folder: String
    /// The system's folders for programs. They come after PATH.
    var systemFolders = ["/usr/local/bin", "/usr/bin"]
    var sharedCondaFolders = ["/opt/conda"]

    private var home: String { variables["HOME"] ?? "/" }
    private var pyenvRoot: String { variables["PYENV_ROOT"] ?? home + "/.pyenv" }
    private var pathFolders: [String] {
        (variables["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":").map(String.init)
    }

    /// The programs of this name on PATH, in order. A shim of pyenv is replaced by the Pythons that it would run.
    func named(_ name: String) -> [Candidate] {
        var found: [Candidate] = []
        for folder in pathFolders {
            let path = folder + "/" + name
            guard Self.isProgram(path) else { continue }
            found += behindShim(path) ?? [Candidate(path: path, label: path)]
        }
        return found
    }

    /// The Pythons that a shim of pyenv would run here, the likeliest first. Nil for any other program.
    func behindShim(_ path: String) -> [Candidate]? {
        guard let root = shimRoot(path), let name = FilePath(path).lastComponent?.string else { return nil }
        return pyenvSelection(root: root).compactMap { installation in
            let path = "\(root)/versions/\(installation)/bin/\(name)"
            return Self.isProgram(path) ? Candidate(path: path, label: "\(installation) (pyenv)") : nil
        }
    }

    /// The Pythons that may have this version, the likeliest first. Only running one shows its version.
    func versioned(_ wanted: PythonVersion) -> [Candidate] {
        guard wanted.numbers.count > 1 else { return named("python\(wanted)") + pyenv(wanted) }
        let name = "python" + wanted.minor
        var found = named(name) + pyenv(wanted)
        found += (systemFolders + condaFolders + uvFolders).compactMap { folder in
            let path = folder + "/" + name
            return Self.isProgram(path) ? Candidate(path: path, label: path) : nil
        }
        var seen: Set<String> = []
        return found.filter { seen.insert($0.path).inserted }
    }

    /// The interpreter at a path: a program, or `bin/python` in a folder.
    static func program(at path: String) -> String? {
        let places = [path, path + "/bin/python", path + "/bin/python3"]
        return places.first { isProgram($0) }
    }

    /// All Pythons that functions could run on, for an error text.
    func atHand() -> [String] {
        var found: [(PythonVersion, String)] = []
        for candidate in pyenv(nil) {
            if let version = PythonVersion(leadingIn: candidate.label) { found.append((version, candidate.label)) }
        }
        for folder in pathFolders + systemFolders + condaFolders + uvFolders {
            for name in (try? Folder.names(at: folder)) ?? [] where name.hasPrefix("python3.") {
                let path = folder + "/" + name
                guard let version = PythonVersion(name.dropFirst(6)), Self.isProgram(path), shimRoot(path) == nil else {
                    continue
                }
                found.append((version, "\(version) (\(path))"))
            }
        }
        var seen: Set<String> = []
        return found.filter { $0.0 >= .oldest && seen.insert($0.1).inserted }.sorted { $0.0 < $1.0 }.map(\.1)
    }

    /// pyenv's installations of this version, the newest first. Nil means all versions.
    private func pyenv(_ wanted: PythonVersion?) -> [Candidate] {
        let names = (try? Folder.names(at: pyenvRoot + "/versions")) ?? []
        let versions = names.compactMap { name in PythonVersion(name).map { (name: name, version: $0) } }
        return versions.filter { pair in wanted.map { pair.version.satisfies($0) } ?? true }
            .sorted { $0.version > $1.version }
            .map { Candidate(path: "\(pyenvRoot)/versions/\($0.name)/bin/python", label: "\($0.name) (pyenv)") }
            .filter { Self.isProgram($0.path) }
    }

    private var condaFolders: [String] {
        let roots = ["miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba"].map { home + "/" + $0 }
        let inside = (roots + sharedCondaFolders).flatMap { root in
            [root + "/bin"] + ((try? Folder.names(at: root + "/envs")) ?? []).map { "\(root)/envs/\($0)/bin" }
        }
        return (variables["CONDA_PREFIX"].map { [$0 + "/bin"] } ?? []) + inside
    }

    private var uvFolders: [String] {
        let root = home + "/.local/share/uv/python"
        return ((try? Folder.names(at: root)) ?? []).filter { $0.hasPrefix("cpython-") }.map { "\(root)/\($0)/bin" }
    }

    /// The root of the pyenv that a shim belongs to. Nil for any other program. A shim adds 70 ms to each start.
    private func shimRoot(_ path: String) -> String? {
        let folder = FilePath(path).removingLastComponent()
        guard folder.lastComponent?.string == "shims" else { return nil }
        let root = folder.removingLastComponent().string
        return Folder.holds(root + "/versions") ? root : nil
    }

    /// The installations that pyenv would choose from here, in its order. `system` means the rest of PATH.
    private func pyenvSelection(root: String) -> [String] {
        let wanted: [String]
        if let text = variables["PYENV_VERSION"], !text.isEmpty {
            wanted = text.split(separator: ":").map(String.init)
        } else {
            var place = FilePath(folder)
            var file: String?
            while file == nil {
                let candidate = place.appending(".python-version").string
                if Folder.holds(candidate) { file = candidate }
                if !place.removeLastComponent() { break }
            }
            let bytes = (try? WholeFile.read(file ?? root + "/version", limit: 65536)) ?? []
            wanted = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
        }
        let installed = (try? Folder.names(at: root + "/versions")) ?? []
        return wanted.compactMap { name in
            if installed.contains(name) { return name }
            guard let version = PythonVersion(name) else { return nil }
            return installed.compactMap { PythonVersion($0) }.filter { $0.satisfies(version) }.max()?.description
        }
    }

    static func isProgram(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.isFile && access(path, X_OK) == 0
    }
}
