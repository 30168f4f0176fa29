@testable import ControlPlane
import Glibc
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

    @Test func codeIsGivenBackAndComesAgain() throws {
        // Maps the program's file a second time, at an address where no code runs.
        let (file, pages) = (open("/proc/self/exe", O_RDONLY), open("/proc/self/pagemap", O_RDONLY))
        defer { for descriptor in [file, pages] { close(descriptor) } }
        try #require(file >= 0 && pages >= 0)
        let size = Int(getpagesize())
        let page = try #require(mmap(nil, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0))
        try #require(page != UnsafeMutableRawPointer(bitPattern: -1))
        defer { munmap(page, size) }
        // The highest bit of a page's entry says whether the page is in memory.
        func isPresent() throws -> Bool {
            var entry: UInt64 = 0
            let offset = Int(bitPattern: page) / size * MemoryLayout.size(ofValue: entry)
            try #require(pread(pages, &entry, MemoryLayout.size(ofValue: entry), offset) == 8)
            return entry >> 63 == 1
        }
        let elf: [UInt8] = [0x7F, 0x45, 0x4C, 0x46]
        #expect(Array(UnsafeRawBufferPointer(start: page, count: 4)) == elf)
        #expect(try isPresent())
        CodeMemory.giveBack()
        #expect(try !isPresent())
        #expect(Array(UnsafeRawBufferPointer(start: page, count: 4)) == elf)
        // The code that runs comes back, too.
        for _ in 0..<100 { CodeMemory.giveBack() }
    }
}
