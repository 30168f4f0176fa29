import Environments
import Glibc
import Platform
import Synchronization
import TestSupport
import Testing

@Suite struct ChildCommandTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func shell(_ script: String, launcher: String? = nil) -> ChildCommand {
        ChildCommand(
            launcher: launcher, arguments: ["/bin/sh", "-c", script], variables: ["PATH": "/usr/bin:/bin"],
            folder: folder.path)
    }

    @Test func linesComeInOrderWithTheStatus() async throws {
        let lines = LineCollector(limit: 10)
        let outcome = try await shell("echo one; echo two >&2; printf 'three\\r\\n\\nfo\\377ur'; pwd; exit 3").run(
            timeout: .seconds(60)
        ) {
            lines.add($0)
        }
        #expect(outcome == .exited(3))
        #expect(lines.all == ["one", "two", "three", "", "fo\u{FFFD}ur" + folder.path])
    }

    @Test func onlyTheGivenVariablesAndDescriptorsArePassed() async throws {
        let lines = LineCollector(limit: 30)
        _ = try await shell("env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=; ls /proc/self/fd").run(
            timeout: .seconds(60)
        ) { lines.add($0) }
        #expect(lines.all == ["PATH=/usr/bin:/bin", "0", "1", "2", "3"])
    }

    @Test func longLinesAreCut() async throws {
        let longest = Mutex((longest: 0, total: 0))
        let outcome = try await shell("head -c 3000000 /dev/zero | tr '\\0' x").run(timeout: .seconds(60)) { line in
            longest.withLock { $0 = (max($0.longest, line.utf8.count), $0.total + line.utf8.count) }
        }
        #expect(outcome.isSuccess)
        #expect(longest.withLock { $0.longest } == 16 << 10)
        #expect(longest.withLock { $0.total } == 3_000_000)
    }

    @Test func itRunsThroughTheLauncher() async throws {
        let launcher = try folder.write(
            "launcher", "#!/bin/sh\necho \"$1 $2 $3 $4\"\nshift 4\nexec \"$@\"\n", mode: 0o755)
        let lines = LineCollector(limit: 10)
        _ = try await shell("echo ran", launcher: launcher).run(timeout: .seconds(60)) { lines.add($0) }
        #expect(lines.all == ["--child --parent \(getpid()) --", "ran"])
    }

    @Test func itLeavesNothingRunning() async throws {
        let lines = LineCollector(limit: 10)
        let outcome = try await shell("sleep 1000 & echo $!").run(timeout: .seconds(60)) { lines.add($0) }
        #expect(outcome.isSuccess)
        try expectGone(lines.all.first)
    }

    @Test func timeIsLimited() async throws {
        let lines = LineCollector(limit: 10)
        await #expect(throws: ChildCommandError.timedOut(.milliseconds(300))) {
            _ = try await shell("sleep 1000 & echo $!; echo $$; wait").run(timeout: .milliseconds(300)) {
                lines.add($0)
            }
        }
        for pid in lines.all { try expectGone(pid) }
    }

    @Test func cancellingEndsIt() async throws {
        let (pids, told) = AsyncStream.makeStream(of: String.self)
        let command = shell("echo $$; exec sleep 1000")
        let task = Task { try await command.run(timeout: .seconds(600)) { told.yield($0) } }
        var iterator = pids.makeAsyncIterator()
        let pid = await iterator.next()
        task.cancel()
        await #expect(throws: ChildCommandError.cancelled) { _ = try await task.value }
        try expectGone(pid)
    }

    @Test func anErrorNamesAMissingProgram() async throws {
        let command = ChildCommand(launcher: nil, arguments: ["/none/such"], variables: [:], folder: "/")
        await #expect { _ = try await command.run(timeout: .seconds(60)) { _ in } } throws: {
            "\($0)".contains("/none/such")
        }
    }

    /// Waits until the process has ended. The test's time limit ends the wait.
    private func expectGone(_ pid: String?) throws {
        waitForEnd(of: try #require(pid.flatMap { pid_t($0) }))
    }
}
