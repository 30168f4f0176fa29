@testable import Gateway
import Testing

@Suite struct CodeMemoryTests {
    @Test(
        arguments: [
            ("5f0000-6a0000 r-xp 00001000 fe:00 1234                       /usr/bin/dcf-gateway", 0x5f0000..<0x6a0000),
            ("5f0000-6a0000 r--p 00001000 fe:00 1234                       /usr/bin/dcf-gateway", nil),
            ("5f0000-6a0000 rw-p 00001000 fe:00 1234                       /usr/bin/dcf-gateway", nil),
            ("7ffd1000-7ffd3000 r-xp 00000000 00:00 0                          [vdso]", nil),
            ("5f0000-6a0000 r-xp 00000000 00:00 0", nil), ("", nil), ("x-y r-xp 0 0 0 /a", nil),
        ] as [(String, Range<UInt>?)])
    func onlyCodeOfFiles(line: String, range: Range<UInt>?) {
        #expect(CodeMemory.codeRange(line) == range)
    }

    @Test func theProgramGoesOn() {
        for _ in 0..<100 { CodeMemory.giveBack() }
    }
}
