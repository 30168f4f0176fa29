import CLinux
import ControlPlane
import Glibc
import Platform
import SystemPackage
import TestSupport
import Testing

/// The launcher here is a shell script, so a test decides what the process does.
@Suite struct ReplicaProcessTests {
    let work: TemporaryFolder

    init() throws { work = try TemporaryFolder() }

    private func launch(_ script: String, cpus: Int? = nil) throws -> ReplicaLaunch {
        let launcher = try work.write("launcher", "#!/bin/sh\n" + script + "\n", mode: 0o755)
        return ReplicaLaunch(
            launcher: launcher, python: "/the/python", variables: ["A": "1", "PATH": "/usr/bin:/bin"],
            folder: work.path, cpus: cpus)
    }

    /// Runs a process to its end. Returns what it wrote to its two outputs.
    private func run(
        _ launch: ReplicaLaunch, onStart: (ReplicaProcess) -> Void = { _ in }
    ) async throws -> (exit: ReplicaExit, output: String, error: String) {
        let output = try Pipe()
        let error = try Pipe()
        let exit = try await ReplicaProcess.run(
            launch, output: output.takeWriting(), error: error.takeWriting(), onStart: onStart)
        return (exit, try output.all(), try error.all())
    }

    @Test func itGetsWhatIsGivenAndNothingElse() async throws {
        let result = try await run(
            launch(
                "echo \"$@\"; pwd; env | grep -v -e ^_ -e PWD -e SHLVL | sort; ls /proc/self/fd | tr '\\n' ' '; echo oops >&2; exit 3"
            ))
        #expect(result.exit == .status(3))
        #expect(
            result.output
                == "--parent \(getpid()) --python /the/python\n\(work.path)\nA=1\nPATH=/usr/bin:/bin\n0 1 2 3 ")
        #expect(result.error == "oops\n")
    }

    @Test func itLeadsAGroupThatEndsWithIt() async throws {
        let result = try await run(launch("sleep 1000 & echo $!; exit 0"))
        // The child had the pipe, too. The pipe has ended, so the child is gone.
        #expect(result.exit == .status(0))
        #expect(result.output.hasSuffix("\n"))
    }

    @Test func killEndsTheWholeGroup() async throws {
        let result = try await run(launch("sleep 1000 & sleep 1000")) { $0.kill() }
        #expect(result.exit == .signal(SIGKILL))
        #expect("\(result.exit)" == "signal 9 (SIGKILL)")
    }

    @Test func signalsReachIt() async throws {
        let output = try Pipe()
        let error = try Pipe()
        let launch = try launch("trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done")
        let exit = try await withThrowingTaskGroup(of: ReplicaExit.self) { group in
            let (processes, told) = AsyncStream.makeStream(of: ReplicaProcess.self)
            group.addTask {
                try await ReplicaProcess.run(launch, output: output.takeWriting(), error: error.takeWriting()) {
                    told.yield($0)
                }
            }
            var iterator = processes.makeAsyncIterator()
            let process = try #require(await iterator.next())
            // The trap is set once the process says so.
            #expect(try output.line() == "ready")
            process.signal(SIGTERM)
            let seen = await process.exit()
            #expect(seen == .status(42))
            #expect(await process.exit() == seen)
            // The process is gone, so the signal reaches no process.
            process.kill()
            return try #require(try await group.next())
        }
        #expect(exit == .status(42))
    }

    @Test func cancellingEndsIt() async throws {
        let launch = try launch("sleep 1000 & sleep 1000")
        let output = try Pipe()
        let error = try Pipe()
        let (started, told) = AsyncStream.makeStream(of: Int32.self)
        let task = Task {
            try await ReplicaProcess.run(launch, output: output.takeWriting(), error: error.takeWriting()) {
                told.yield($0.pid)
            }
        }
        var iterator = started.makeAsyncIterator()
        let pid = try #require(await iterator.next())
        task.cancel()
        _ = try? await task.value
        #expect(try output.all() == "")
        #expect(kill(pid, 0) == -1)
    }

    @Test func whatCannotStartIsNamedAndNothingLeaks() async throws {
        let launch = ReplicaLaunch(launcher: "/none/dcf-watcher", python: "/p", variables: [:], folder: "/")
        let output = try Pipe()
        let error = try Pipe()
        do {
            _ = try await ReplicaProcess.run(launch, output: output.takeWriting(), error: error.takeWriting()) { _ in }
            Issue.record("it started")
        } catch {
            #expect("\(error)".contains("/none/dcf-watcher"))
        }
        // Both pipes have ended, so no copy of their other ends is left.
        #expect(try output.all() == "")
        #expect(try error.all() == "")
    }

    @Test func manyLeaveNoZombieBehind() async throws {
        let launch = try launch("exit 0")
        var pids: [Int32] = []
        for _ in 0..<30 { _ = try await run(launch) { pids.append($0.pid) } }
        for pid in pids {
            let parent = (try? WholeFile.read("/proc/\(pid)/stat", limit: 4096)).map {
                String(decoding: $0, as: UTF8.self)
            }
            #expect(parent?.contains(") Z \(getpid()) ") != true)
        }
    }

    @Test(.enabled(if: CPUAffinity.allowed(0).count > 1, "one CPU only"))
    func cpusAreRestricted() async throws {
        var allowed: [Int] = []
        _ = try await run(launch("sleep 1000", cpus: 1)) { process in
            allowed = CPUAffinity.allowed(process.pid)
            process.kill()
        }
        #expect(allowed.count == 1)
    }
}
