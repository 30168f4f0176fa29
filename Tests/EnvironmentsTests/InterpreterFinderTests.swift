import Environments
import Glibc
import Platform
import SystemPackage
import TestSupport
import Testing

@Suite struct InterpreterFinderTests {
    let home: TemporaryFolder

    init() throws { home = try TemporaryFolder() }

    /// A program that answers like a Python of this version, and counts its starts in `starts`.
    @discardableResult
    private func fakePython(
        _ name: String, _ version: String, implementation: String = "cpython", isVenv: Bool = false,
        threading: String = "gil"
    ) throws -> String {
        let full = home.path + "/" + name
        return try home.write(
            name,
            """
            #!/bin/sh
            echo start >> \(home.path)/starts
            echo dcf:version=\(version)
            echo dcf:implementation=\(implementation)
            echo dcf:threading=\(threading)
            echo dcf:executable=\(full)
            echo dcf:base=\(full)
            echo dcf:prefix=\(home.path)
            echo dcf:venv=\(isVenv ? 1 : 0)
            echo dcf:ensurepip=1
            echo dcf:pip=23.2.1
            """, mode: 0o755)
    }

    private var starts: Int { ((try? home.read("starts")) ?? "").split(separator: "\n").count }

    private func finder(_ more: [String: String] = [:], cache: Bool = true) -> InterpreterFinder {
        let variables = ["PATH": home.path + "/bin:/bin", "HOME": home.path].merging(more) { $1 }
        return InterpreterFinder(cacheFolder: cache ? home.path + "/cache" : nil, launcher: nil, variables: variables)
    }

    private func find(_ wanted: String?, _ more: [String: String] = [:]) async throws -> Interpreter {
        try await finder(more).find(wanted, relativeTo: home.path)
    }

    @Test func theDefaultIsPython3OnPath() async throws {
        let python = try fakePython("bin/python3", "3.11.4")
        for wanted in [nil, "python3", "python"] {
            let found = try await find(wanted)
            #expect(found.path == python)
            #expect(found.version == PythonVersion(3, 11, 4))
            #expect(found.pip == PythonVersion(23, 2, 1))
            #expect(!found.isVenv)
        }
    }

    @Test func aSecondSearchStartsNothing() async throws {
        let python = try fakePython("bin/python3", "3.11.4")
        let first = try await find(nil)
        #expect(try await find(nil) == first)
        #expect(starts == 1)
        // A replaced file is asked again.
        try Folder.remove(python)
        try fakePython("bin/python3", "3.12.10")
        #expect(try await find(nil).version == PythonVersion(3, 12, 10))
        #expect(starts == 2)
    }

    @Test func manySearchesAtOnceStartOne() async throws {
        try fakePython("bin/python3", "3.11.4")
        let finder = finder()
        let found = try await withThrowingTaskGroup(of: Interpreter.self) { group in
            for _ in 0..<100 { group.addTask { try await finder.find(nil, relativeTo: "/") } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(found.count == 1)
        #expect(starts == 1)
    }

    @Test func aDamagedCacheIsNotAnError() async throws {
        try fakePython("bin/python3", "3.11.4")
        try home.write("cache/interpreters", "dcf interpreters 1\nnonsense\n\t\t\n")
        #expect(try await find(nil).version == PythonVersion(3, 11, 4))
    }

    @Test func aShimIsResolvedWithoutStartingIt() async throws {
        try home.write(".pyenv/shims/python3", "#!/bin/sh\nexit 1\n", mode: 0o755)
        try home.write(".pyenv/shims/python3.10", "#!/bin/sh\nexit 1\n", mode: 0o755)
        for version in ["3.9.18", "3.10.2", "3.10.13"] {
            try fakePython(".pyenv/versions/\(version)/bin/python3", version)
            try fakePython(".pyenv/versions/\(version)/bin/python", version)
        }
        let path = ["PATH": home.path + "/.pyenv/shims:" + home.path + "/bin"]
        try home.write(".pyenv/version", "3.9.18\n")
        #expect(try await find(nil, path).version == PythonVersion(3, 9, 18))
        #expect(try await find(home.path + "/.pyenv/shims/python3", path).version == PythonVersion(3, 9, 18))
        #expect(try await find("3.10", path).version == PythonVersion(3, 10, 13))
        #expect(try await find("3.10.2", path).version == PythonVersion(3, 10, 2))
        let chosen = path.merging(["PYENV_VERSION": "3.10"]) { $1 }
        #expect(try await find(nil, chosen).version == PythonVersion(3, 10, 13))
        try home.write(".python-version", "3.10.2\n")
        #expect(try await find(nil, path).version == PythonVersion(3, 10, 2))
        // pyenv's `system` is the next Python on PATH.
        try home.write(".python-version", "system\n")
        try fakePython("bin/python3", "3.13.1")
        #expect(try await find(nil, path).version == PythonVersion(3, 13, 1))
    }

    @Test func versionsAreFoundOnPathCondaAndUV() async throws {
        try fakePython("bin/python3.12", "3.12.1")
        try fakePython("miniconda3/envs/old/bin/python3.9", "3.9.5")
        try fakePython(".local/share/uv/python/cpython-3.13.2-linux/bin/python3.13", "3.13.2")
        #expect(try await find("3.12").version == PythonVersion(3, 12, 1))
        #expect(try await find("3.9.5").path.contains("miniconda3"))
        #expect(try await find("3.13.2").path.contains("uv"))
    }

    @Test func pathsMayBeRelativeAVenvOrInTheHome() async throws {
        let venv = try fakePython("fn/venv/bin/python", "3.11.4", isVenv: true)
        let finder = finder()
        for wanted in ["venv", "./venv", "venv/bin/python", venv, home.path + "/fn/venv", "~/fn/venv", "../fn/venv/"] {
            let found = try await finder.find(wanted, relativeTo: home.path + "/fn")
            #expect(found.path == venv)
            #expect(found.isVenv)
        }
    }

    @Test func anActiveVenvCountsAsAnInstallation() async throws {
        try fakePython("bin/python3", "3.11.4", isVenv: true)
        #expect(try await !find(nil).isVenv)
    }

    @Test func anErrorListsTheInstalledPythons() async throws {
        try fakePython(".pyenv/versions/3.10.13/bin/python", "3.10.13")
        try fakePython(".pyenv/versions/2.7.18/bin/python", "2.7.18")
        for (wanted, looked) in [
            ("3.99", "python3.99 on PATH"), ("./venv", home.path + "/venv"), (nil, "python3 on PATH"),
        ] {
            await #expect { try await find(wanted, ["PATH": "/none"]) } throws: { error in
                let text = "\(error)"
                return text.contains("looked for \(looked)") && text.contains("3.10.13 (pyenv)")
                    && !text.contains("2.7.18")
            }
        }
    }

    @Test func unfitPythonsSayWhy() async throws {
        let old = try fakePython("old", "3.8.18")
        let pypy = try fakePython("pypy", "3.10.2", implementation: "pypy")
        let free = try fakePython("free", "3.13.0", threading: "free")
        let broken = try home.write("broken", "#!/bin/sh\necho no libpython >&2\nexit 127\n", mode: 0o755)
        let other = try home.write("other", "#!/bin/sh\necho hello\n", mode: 0o755)
        let folder = try fakePython("bin/python3.8", "3.8.1")
        _ = folder
        for (wanted, text) in [
            (old, "is Python 3.8.18, but functions need 3.9 or later"), (pypy, "is pypy"), (free, "free-threaded"),
            (broken, "exit status 127: no libpython"), (other, "does not answer"), ("3.8", "functions need 3.9"),
            ("2.7", "functions need 3.9"),
        ] {
            await #expect { try await find(wanted) } throws: { "\($0)".contains(text) }
        }
    }

    static let pyenvVersions = ((try? Folder.names(at: RealPythons.pyenv + "/versions")) ?? []).compactMap {
        PythonVersion($0)
    }

    @Test(
        .enabled(if: !pyenvVersions.isEmpty, "no Pythons of pyenv on this machine"),
        arguments: ["3.9", "3.10", "3.11", "3.12", "3.13"])
    func realPythons(wanted: String) async throws {
        guard RealPythons.has(wanted) else { return }
        let finder = InterpreterFinder(cacheFolder: home.path, launcher: nil)
        let found = try await finder.find(wanted, relativeTo: "/")
        #expect(found.version.minor == wanted)
        #expect(Folder.holds(found.path))
        #expect(found.realPath.contains("python" + wanted))
        #expect(found.hasEnsurepip)
    }

    @Test(.enabled(if: pyenvVersions.contains { $0 < .oldest }, "no old Python of pyenv on this machine"))
    func realOldPythonsReportTheirVersion() async throws {
        for version in Self.pyenvVersions where version < .oldest {
            let path = "\(RealPythons.pyenv)/versions/\(version)/bin/python"
            await #expect(throws: EnvironmentError.interpreterTooOld(path: path, version: version)) {
                _ = try await find(path)
            }
        }
    }
}
