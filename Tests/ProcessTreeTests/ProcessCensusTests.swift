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

    /// Starts a shell that runs the script when it has read a line; returns the other ends of its input and its output.
    private func shell(_ script: String) throws -> (pid: Int32, input: Int32, output: Int32) {
        var input: [Int32] = [-1, -1]
        var output: [Int32] = [-1, -1]
        try #require(pipe(&input) == 0)
        try #require(pipe(&output) == 0)
        for end in input + output { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        let command: [String] = ["sh", "-c", "read line; \(script)"]
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        defer { for word in words { free(word) } }
        words.append(nil)
        var pid: pid_t = 0
        try #require(posix_spawn(&pid, "/bin/sh", &actions, nil, words, environ) == 0)
        close(input[0])
        close(output[1])
        return (pid, input[1], output[0])
    }

    @Test func whatComesFromAMarkedProcessIsFoundAndEnded() throws {
        let (pid, input, output) = try shell(
            "setsid sleep 1000 & setsid env -i /bin/sleep 1001 & echo; exec sleep 1002")
        #expect(members.isEmpty)
        #expect(mark.put(on: pid))
        #expect(ProcessMark.of(pid) == mark)
        #expect(members == [pid])
        _ = write(input, "\n", 1)
        close(input)
        // The shell writes its line when it has started the other two.
        var line: UInt8 = 0
        #expect(read(output, &line, 1) == 1)
        close(output)
        #expect(members.count == 3)
        ProcessSweep.run(isPatient: false, where: { $0 == mark })
        #expect(members.isEmpty)
        // The shell is a zombie now: the census leaves zombies out.
        var status: Int32 = 0
        #expect(waitpid(pid, &status, 0) == pid)
        #expect(status & 0x7F == SIGKILL)
        #expect(ProcessMark.of(pid) == nil)
    }
}
