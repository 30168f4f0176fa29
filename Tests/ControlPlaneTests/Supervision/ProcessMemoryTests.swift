@testable import ControlPlane
import Glibc
import Testing

@Suite struct ProcessMemoryTests {
    @Test func whatProcSaysIsRead() {
        #expect(ProcessMemory.parse(statm: Array("1000 250 30 1 0 60 0\n".utf8)) == 250)
        #expect(ProcessMemory.parse(statm: []) == nil)
        let rollup = "5581-7ffc ---p 00000000 00:00 0 [rollup]\nRss:     900 kB\nPss:     300 kB\nPss_Dirty:  9 kB\n"
        #expect(ProcessMemory.parse(rollup: rollup) == 300 << 10)
        #expect(ProcessMemory.parse(rollup: "Rss: 1 kB\n") == nil)
    }

    @Test func aProcessHasSomeAndOneThatHasEndedHasNone() {
        #expect(ProcessMemory.resident(of: [getpid()], limit: .max) > 1 << 20)
        #expect(ProcessMemory.resident(of: [], limit: 0) == 0)
        // The same process twice: shared pages are divided among processes, but not among two mentions of one process.
        #expect(
            ProcessMemory.resident(of: [getpid()], limit: 0) <= ProcessMemory.resident(of: [getpid()], limit: .max) * 2)
    }
}
