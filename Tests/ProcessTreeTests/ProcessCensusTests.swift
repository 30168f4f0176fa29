import Glibc
import ProcessTree
import Testing

@Suite struct ProcessCensusTests {
    private let mark = ProcessMark(family: ProcessMark.newFamily(), number: 7)

    private var members: [Int32] {
        var found: [Int32] = []
        ProcessCensus.each(where: { $0 == mark }) { pid, _, _ in found.append(pid) }
        return found
    }

    /// A shell that does nothing before it can read a line; the other end of its input comes back.
    private func shell(_ script: String) throws -> (pid: Int32, input: Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        let command: [String] = ["sh", "-c", "read line; \(script)"]
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        defer { for word in words { free(word) } }
        words.append(nil)
        var pid: pid_t = 0
        try #require(posix_spawn(&pid, "/bin/sh", &actions, nil, words, environ) == 0)
        close(ends[0])
        return (pid, ends[1])
    }

    @Test func whatComesFromAMarkedProcessIsFoundAndEnded() async throws {
        let (pid, input) = try shell("setsid sleep 1000 & setsid env -i /bin/sleep 1001 & exec sleep 1002")
        #expect(members.isEmpty)
        #expect(mark.put(on: pid))
        #expect(ProcessMark.of(pid) == mark)
        #expect(members == [pid])
        _ = write(input, "\n", 1)
        close(input)
        while members.count < 3 { await Task.yield() }
        ProcessSweep.run(isPatient: false, where: { $0 == mark })
        #expect(members.isEmpty)
        // It is a zombie: those are not counted.
        var status: Int32 = 0
        #expect(waitpid(pid, &status, 0) == pid)
        #expect(status & 0x7F == SIGKILL)
        #expect(ProcessMark.of(pid) == nil)
    }
}
