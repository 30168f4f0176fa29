import Glibc
import ProcessTree
import Testing

@Suite struct ProcessMarkTests {
    @Test(arguments: [0, 8_192, 0xFFFF_FFFF, 1 << 63, UInt64.max])
    func plainLimitsAreNoMarks(value: UInt64) {
        #expect(ProcessMark(rawValue: value) == nil)
    }

    @Test func aMarkIsItsNumberAgain() {
        let mark = ProcessMark(family: (1 << 31) - 1, number: .max)
        #expect(ProcessMark(rawValue: mark.rawValue) == mark)
    }
}
