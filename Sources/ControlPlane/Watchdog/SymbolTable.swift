internal import CLinux
internal import Glibc

/// The names of a program's own functions, from the symbol table of its file.
final class SymbolTable {
    private struct Symbol {
        let value: UInt
        let name: Int
    }

    private static let entryBytes = 24
    private static let symbolTableKind: UInt32 = 2
    private static let functionKind: UInt8 = 2

    private let file: UnsafeRawBufferPointer
    /// The functions, ordered by their offset from `base`.
    private var symbols: [Symbol] = []
    /// The address at which the program is loaded.
    private let base: UInt

    /// Nil when the file is not a 64-bit ELF file or has no symbols.
    init?(of path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size > 64,
            let memory = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0), memory != MAP_FAILED
        else { return nil }
        file = UnsafeRawBufferPointer(start: memory, count: Int(status.st_size))
        // The program's headers lie in its first page.
        base = dcf_program_headers() & ~0xFFF
        read()
        if symbols.isEmpty { return nil }
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: file.baseAddress), file.count) }

    private func number<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: T.Type) -> T {
        guard offset >= 0, offset + MemoryLayout<T>.size <= file.count else { return 0 }
        return file.loadUnaligned(fromByteOffset: offset, as: type)
    }

    /// See elf(5).
    private func read() {
        guard file.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2]) else { return }
        let sections = Int(clamping: number(0x28, as: UInt64.self))
        let (size, count) = (Int(number(0x3A, as: UInt16.self)), Int(number(0x3C, as: UInt16.self)))
        for section in (0..<count).map({ sections + $0 * size })
        where number(section + 4, as: UInt32.self) == Self.symbolTableKind {
            let names = sections + Int(number(section + 0x28, as: UInt32.self)) * size
            let strings = Int(clamping: number(names + 0x18, as: UInt64.self))
            let start = Int(clamping: number(section + 0x18, as: UInt64.self))
            let entries = Int(clamping: number(section + 0x20, as: UInt64.self)) / Self.entryBytes
            for entry in (0..<entries).map({ start + $0 * Self.entryBytes })
            where number(entry + 4, as: UInt8.self) & 0xF == Self.functionKind {
                let value = UInt(number(entry + 8, as: UInt64.self))
                guard value > 0 else { continue }
                symbols.append(Symbol(value: value, name: strings + Int(number(entry, as: UInt32.self))))
            }
        }
        symbols.sort { $0.value < $1.value }
    }

    /// The function at an offset from `base`; nil when `base` is not the program's, or no function is known there.
    func name(at offset: UInt, base: UInt) -> String? {
        guard base == self.base else { return nil }
        var (low, high) = (0, symbols.count)
        while low < high {
            let middle = (low + high) / 2
            if symbols[middle].value <= offset { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let name = symbols[low - 1].name
        guard name < file.count else { return nil }
        return String(decoding: file[name...].prefix { $0 != 0 }, as: UTF8.self)
    }

    /// The demangled form of a Swift name; other names stay as they are.
    static func readable(_ name: String) -> String {
        guard name.hasPrefix("$s"), let text = demangle(name, name.utf8.count, nil, nil, 0) else { return name }
        defer { free(text) }
        return String(cString: text)
    }
}

/// A function of Swift's runtime.
@_silgen_name("swift_demangle")
private func demangle(
    _ name: UnsafePointer<CChar>, _ length: Int, _ output: UnsafeMutablePointer<CChar>?,
    _ size: UnsafeMutablePointer<Int>?, _ flags: UInt32
) -> UnsafeMutablePointer<CChar>?
