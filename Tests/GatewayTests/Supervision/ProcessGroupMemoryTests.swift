@testable import Gateway
import Testing

@Suite struct ProcessGroupMemoryTests {
    @Test(
        arguments: [
            (
                "12 (python) S 1 77 77 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5 1000000 250 18446744073709551615 1\n",
                77, 250
            ),
            ("12 (a) b (c) R 1 5 77 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5 1000000 9 1\n", 5, 9),
        ])
    func linesOfProcAreRead(line: String, group: Int32, pages: UInt64) throws {
        let parsed = try #require(ProcessGroupMemory.parse(Array(line.utf8)))
        #expect(parsed.group == group)
        #expect(parsed.pages == pages)
    }

    @Test(arguments: ["", "12 (python", "12 (python) S 1\n"])
    func othersAreNot(line: String) {
        #expect(ProcessGroupMemory.parse(Array(line.utf8)) == nil)
    }
}
