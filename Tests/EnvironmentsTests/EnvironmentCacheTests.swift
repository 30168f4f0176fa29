@testable import Environments
import Glibc
import Platform
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite struct EnvironmentCacheTests {
    let work: TemporaryFolder
    let cache: EnvironmentCache

    init() throws {
        work = try TemporaryFolder()
        cache = EnvironmentCache(root: work.path + "/environments", launcher: nil)
    }

    /// A fake Python. Its venv module makes a folder. Its pip appends to `installs`, then runs the given script.
    private func fakeInterpreter(pip: String = "true", version: PythonVersion = PythonVersion(3, 12, 1)) throws
        -> Interpreter
    {
        let path = try work.write(
            "python",
            """
            #!/bin/sh
            for last; do :; done
            case "$*" in
            *"-m venv"*) mkdir -p "$last/bin" && touch "$last/bin/python" ;;
            *"-m pip"*) echo "$(pwd) $*" >> \(work.path)/installs; \(pip) ;;
            esac
            """, mode: 0o755)
        return .fake(path: path, version: version)
    }

    private func prepare(
        _ interpreter: Interpreter, _ requirements: String = "six\n", timeout: Duration = .seconds(120),
        lines: LineCollector? = nil
    ) async throws -> PythonEnvironment {
        let path = try work.write("fn/requirements.txt", requirements)
        return try await cache.prepare(interpreter, requirements: path, folder: work.path + "/fn", timeout: timeout) {
            lines?.add($0)
        }
    }

    private var installs: Int { ((try? work.read("installs")) ?? "").split(separator: "\n").count }
    private func keys() throws -> [String] {
        try Folder.names(at: work.path + "/environments").filter { $0 != "locks" }
    }

    @Test func withoutRequirementsItIsTheInterpreter() async throws {
        let interpreter = Interpreter.fake(path: "/usr/bin/python3")
        for content in ["", "# none\n"] {
            let made = try await prepare(interpreter, content)
            #expect(
                made
                    == PythonEnvironment(
                        python: "/usr/bin/python3", version: interpreter.version, key: nil, wasBuilt: false))
        }
        #expect(!Folder.holds(work.path + "/environments"))
    }

    @Test func reusesAnEnvironment() async throws {
        let interpreter = try fakeInterpreter(pip: "echo Collecting six")
        let lines = LineCollector(limit: 10)
        let first = try await prepare(interpreter, lines: lines)
        #expect(first.wasBuilt)
        #expect(first.python == "\(work.path)/environments/\(try #require(first.key))/bin/python")
        #expect(lines.all == ["Collecting six"])
        #expect(try work.read("installs").hasPrefix(work.path + "/fn "))
        let second = try await prepare(interpreter)
        #expect(!second.wasBuilt)
        #expect(second.python == first.python)
        #expect(installs == 1)
        #expect(try await prepare(interpreter, "six==1\n").key != first.key)
    }

    @Test func concurrentCallsBuildOnce() async throws {
        let interpreter = try fakeInterpreter(pip: "sleep 0.2")
        let path = try work.write("fn/requirements.txt", "six")
        let other = EnvironmentCache(root: work.path + "/environments", launcher: nil)
        let pythons = try await withThrowingTaskGroup(of: String.self) { group in
            for number in 0..<500 {
                // Half of the calls act like another process: they share only the folder.
                let cache = number % 2 == 0 ? cache : other
                group.addTask {
                    try await cache.prepare(
                        interpreter, requirements: path, folder: "/", timeout: .seconds(120), onLine: { _ in }
                    ).python
                }
            }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(pythons.count == 1)
        #expect(installs == 1)
    }

    @Test func failuresShowPipsLastLinesAndLeaveNothing() async throws {
        let interpreter = try fakeInterpreter(pip: "seq 1 50; echo 'ERROR: No matching distribution' >&2; exit 1")
        await #expect {
            _ = try await prepare(interpreter)
        } throws: { error in
            guard case .installFailed(_, let outcome, let lines) = error as? EnvironmentError else { return false }
            return outcome == "exit status 1" && lines.count == 20 && lines.last == "ERROR: No matching distribution"
        }
        #expect(try keys().isEmpty)
        // A failure is not remembered: the next build may succeed.
        let better = try fakeInterpreter()
        #expect(try await prepare(better).wasBuilt)
    }

    @Test func aFullDiskIsReportedAsSuch() async throws {
        let interpreter = try fakeInterpreter(pip: "echo 'OSError: [Errno 28] No space left on device'; exit 2")
        await #expect { _ = try await prepare(interpreter) } throws: { ($0 as? EnvironmentError)?.isDiskFull == true }
    }

    @Test func theTimeIsLimited() async throws {
        let interpreter = try fakeInterpreter(pip: "echo Building wheel; sleep 1000")
        let limit = Duration.seconds(1)
        await #expect {
            _ = try await prepare(interpreter, timeout: limit)
        } throws: { error in
            guard case .buildTimedOut(limit, let lines) = error as? EnvironmentError else { return false }
            return lines.isEmpty || lines == ["Building wheel"]
        }
        #expect(try keys().isEmpty)
    }

    @Test func cancellingTheBuilderLetsTheNextBuild() async throws {
        let interpreter = try fakeInterpreter(
            pip: "test -e \(work.path)/second || { touch \(work.path)/second; echo waiting; sleep 1000; }")
        let path = try work.write("fn/requirements.txt", "six")
        let (lines, told) = AsyncStream.makeStream(of: String.self)
        let cache = cache
        let builder = Task {
            try await cache.prepare(interpreter, requirements: path, folder: "/", timeout: .seconds(600)) {
                told.yield($0)
            }
        }
        var iterator = lines.makeAsyncIterator()
        #expect(await iterator.next() == "waiting")
        let next = Task {
            try await cache.prepare(interpreter, requirements: path, folder: "/", timeout: .seconds(600)) { _ in }
        }
        builder.cancel()
        await #expect(throws: EnvironmentError.cancelled) { _ = try await builder.value }
        #expect(try await next.value.wasBuilt)
        #expect(installs == 2)
    }

    @Test func theRemainsOfADeadProcessAreRebuilt() async throws {
        let interpreter = try fakeInterpreter()
        let made = try await prepare(interpreter)
        let key = try #require(made.key)
        try Folder.remove("\(work.path)/environments/\(key)/dcf-ready")
        try work.write("environments/\(key)/half", "")
        #expect(try await prepare(interpreter).wasBuilt)
        #expect(try !work.tree("environments/\(key)").contains("environments/\(key)/half"))
        let dead = String(repeating: "0", count: 64)
        try work.write("environments/\(dead)/half", "")
        try cache.removeUnfinished()
        #expect(try keys() == [key])
    }

    @Test func pipSeesOnlyItsVariables() async throws {
        let interpreter = try fakeInterpreter(pip: "env | cut -d= -f1 | grep -v -e ^_ -e PWD -e SHLVL | sort")
        let variables = [
            "PATH": "/usr/bin:/bin", "HOME": "/root", "SECRET": "1", "https_proxy": "p", "HTTPS_PROXY": "p",
            "PIP_INDEX_URL": "i",
            "PIP_TARGET": "/x", "PYTHONPATH": "/y", "SSL_CERT_FILE": "/z", "LANG": "C", "LD_PRELOAD": "",
        ]
        let cache = EnvironmentCache(root: work.path + "/environments", launcher: nil, variables: variables)
        let lines = LineCollector(limit: 40)
        let path = try work.write("fn/requirements.txt", "six")
        _ = try await cache.prepare(interpreter, requirements: path, folder: "/", timeout: .seconds(60)) {
            lines.add($0)
        }
        #expect(
            lines.all == [
                "HOME", "HTTPS_PROXY", "LANG", "PATH", "PIP_INDEX_URL", "PIP_USER", "SSL_CERT_FILE", "https_proxy",
            ])
    }

    @Test func aPythonThatCannotMakeVenvsSaysWhatToInstall() async throws {
        let bare = Interpreter.fake(path: "/usr/bin/python3", hasEnsurepip: false, pip: nil)
        await #expect { _ = try await prepare(bare) } throws: { "\($0)".contains("apt-get install python3-venv") }
        let old = Interpreter.fake(path: "/opt/python", hasEnsurepip: false, pip: PythonVersion(20, 3))
        await #expect { _ = try await prepare(old) } throws: { "\($0)".contains("python3.11-venv") }
    }

    @Test(.enabled(if: RealPythons.hasDefault, "no python3 on PATH"))
    func aRealPackageIsInstalledAndChecked() async throws {
        let finder = InterpreterFinder(cacheFolder: work.path + "/environments", launcher: nil)
        let interpreter = try await finder.find(nil, relativeTo: "/")
        let made = try await prepare(interpreter, "six>=1.10\n")
        let lines = LineCollector(limit: 10)
        _ = try await ChildCommand(
            launcher: nil, arguments: [made.python, "-c", "import six, sys; print(six.__name__, sys.prefix)"],
            variables: [:], folder: "/"
        ).run(timeout: .seconds(60)) { lines.add($0) }
        #expect(lines.all == ["six \(work.path)/environments/\(try #require(made.key))"])

        // Treat the same venv as one of the author's.
        let venv = try await finder.find(made.python, relativeTo: "/")
        #expect(venv.isVenv)
        #expect(venv.realPath == interpreter.realPath)
        let before = try work.tree("environments/" + (made.key ?? ""))
        let checked = try await prepare(venv, "six>=1.10 # fine\nnumpy; python_version < '3'\n")
        #expect(checked == PythonEnvironment(python: made.python, version: venv.version, key: nil, wasBuilt: false))
        await #expect {
            _ = try await prepare(venv, "six<1\nno-such-package-here>=2\n")
        } throws: { error in
            guard case .unmetRequirements(_, let unmet) = error as? EnvironmentError else { return false }
            return unmet.count == 2 && unmet[0].hasPrefix("six<1, but ")
                && unmet[1] == "no-such-package-here>=2 is not installed"
        }
        #expect(try work.tree("environments/" + (made.key ?? "")) == before)
    }
}
