@testable import ControlPlane
import Glibc
import Platform
import TestSupport
import Testing

/// The launcher here is a script that plays a template, so a test decides what the template does wrong.
@Suite struct TemplateProcessTests {
    let work: TemporaryFolder
    let watch: DescriptorWatch

    init() throws {
        work = try TemporaryFolder()
        watch = try DescriptorWatch()
    }

    /// The words in capitals stand for the statements that the script runs on `fork`, on `reap`, and before it is
    /// ready.
    private static let script = """
        #!/usr/bin/env python3
        import os, signal, socket, sys, time
        control = socket.socket(fileno=os.dup(0))
        def say(*fields): control.send("\\0".join(map(str, fields)).encode())
        def fork(number, gate, then):
            pid = os.fork()
            if pid == 0:
                os.setpgid(0, 0)
                control.close()
                if os.read(gate, 1): then()
                os._exit(0)
            try: os.setpgid(pid, pid)
            except OSError: pass
            say("forked", number, pid)
        BEFORE
        say("ready")
        while True:
            data, files, _, _ = socket.recv_fds(control, 65536, 3)
            if not data: sys.exit()
            fields = data.decode().split("\\0")
            if fields[0] == "fork":
                number, gate = fields[1], files[2]
                ON_FORK
                for file in files: os.close(file)
            else:
                pid = int(fields[1])
                ON_REAP
        """

    private static let reap = "say('ended', pid, os.waitpid(pid, 0)[1])"

    private func run<Result: Sendable>(
        before: String = "", onFork: String = "fork(number, gate, lambda: os._exit(7))", onReap: String = Self.reap,
        _ body: @Sendable (TemplateProcess) async throws -> Result
    ) async throws -> Result {
        let text = Self.script.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.trimmingPrefix { $0 == " " } == "BEFORE" ? before : String(line)
        }.joined(separator: "\n").replacing("ON_FORK", with: onFork).replacing("ON_REAP", with: onReap)
        let launcher = try work.write("launcher", text + "\n", mode: 0o755)
        let key = TemplateKey(
            python: "/the/python", modules: ["a", "b"], variables: ["PATH": "/usr/bin:/bin"], folder: work.path)
        let template = try TemplateProcess(key: key, watch: watch)
        let output = try Pipe()
        let error = try Pipe()
        defer { watch.stop() }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await template.run(
                    launcher: launcher, output: try output.takeWriting(), error: try error.takeWriting())
            }
            defer { template.stop() }
            return try await body(template)
        }
    }

    /// Runs one replica's process from its start to its end.
    private func replica(
        of template: TemplateProcess, _ onStart: (ReplicaProcess) -> Void = { _ in }
    ) async throws -> ReplicaExit {
        let output = try Pipe()
        let error = try Pipe()
        return try await ReplicaProcess.run(
            ReplicaLaunch(
                launcher: "/none", python: "/the/python", variables: ["PATH": "/usr/bin:/bin", "A": "1"],
                folder: work.path),
            from: template, output: output.takeWriting(), error: error.takeWriting(), onStart: onStart)
    }

    private func outcome(of template: TemplateProcess) async throws -> Result<Void, ConstructorFailure> {
        try #require(await template.outcome.value())
    }

    @Test func howAReplicaEndsIsTold() async throws {
        let exit = try await run { template in
            try await outcome(of: template).get()
            return try await replica(of: template)
        }
        #expect(exit == .status(7))
    }

    @Test func aReplicaCanBeKilled() async throws {
        let exit = try await run(onFork: "fork(number, gate, lambda: time.sleep(1000))") { template in
            try await outcome(of: template).get()
            return try await replica(of: template) { $0.kill() }
        }
        #expect(exit == .signal(SIGKILL))
    }

    @Test func signalsReachIt() async throws {
        let exit = try await run(onFork: "fork(number, gate, lambda: time.sleep(1000))") { template in
            try await outcome(of: template).get()
            return try await replica(of: template) { $0.signal(SIGTERM) }
        }
        #expect(exit == .signal(SIGTERM))
    }

    @Test func aTemplateThatDiesTakesNothingWithIt() async throws {
        // The template ends as soon as it has reported the replica. The replica goes on until it is killed.
        let exit = try await run(onFork: "fork(number, gate, lambda: time.sleep(1000)); os._exit(3)") { template in
            try await outcome(of: template).get()
            let (starts, started) = AsyncStream.makeStream(of: ReplicaProcess.self)
            async let exit = replica(of: template) { started.yield($0) }
            var iterator = starts.makeAsyncIterator()
            let process = try #require(await iterator.next())
            await waitUntil { !template.isUsable }
            #expect(kill(process.pid, 0) == 0)
            process.kill()
            return try await exit
        }
        guard case .unknown = exit else {
            Issue.record("\(exit)")
            return
        }
    }

    @Test func aReplicaNobodyHeardOfComesToAClosedGate() async throws {
        let failure = try await run(onFork: "fork(number, gate, lambda: os._exit(7)) if False else os._exit(0)") {
            template in
            try await outcome(of: template).get()
            await #expect(throws: ReplicaProcessError.self) { try await replica(of: template) }
            return await #expect(throws: ReplicaProcessError.self) { try await replica(of: template) }
        }
        #expect(failure?.reason == "the template has ended")
    }

    @Test func aForkThatFails() async throws {
        let failure = try await run(onFork: "say('failed', number, 'fork: no room')") { template in
            try await outcome(of: template).get()
            return await #expect(throws: ReplicaProcessError.self) { try await replica(of: template) }
        }
        #expect(failure.map { "\($0)" } == "cannot start a replica from its template: fork: no room")
    }

    @Test func nonsenseEndsIt() async throws {
        try await run(onFork: "say('forked', number, 1)") { template in
            try await outcome(of: template).get()
            await #expect(throws: ReplicaProcessError.self) { try await replica(of: template) }
            #expect(!template.isUsable)
        }
    }

    @Test func importsThatAreRefused() async throws {
        let imported = try await run(before: "say('refused', 'preload: so it is', 'Traceback'); sys.exit(1)") {
            try await outcome(of: $0)
        }
        guard case .failure(let failure) = imported else {
            Issue.record("it is ready")
            return
        }
        #expect(failure == ConstructorFailure(summary: "preload: so it is", traceback: "Traceback"))
    }

    @Test func importsThatEndTheProcess() async throws {
        let imported = try await run(before: "os.kill(os.getpid(), signal.SIGSEGV)") { try await outcome(of: $0) }
        guard case .failure(let failure) = imported else {
            Issue.record("it is ready")
            return
        }
        #expect(failure.summary == "preload: importing a, b ended in signal 11 (SIGSEGV)")
    }

    @Test func importsThatTakeTooLong() async throws {
        let imported = try await run(before: "time.sleep(1000)") { template in
            await template.end(after: .milliseconds(1))
            return try await outcome(of: template)
        }
        guard case .failure(let failure) = imported else {
            Issue.record("it is ready")
            return
        }
        #expect(failure.summary == "preload: the imports had not ended after 0.001 s (timeout.start)")
    }
}
