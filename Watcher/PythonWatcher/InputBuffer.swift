import Glibc

/// Bytes that came over the link and are not yet understood.
struct InputBuffer: ~Copyable {
    /// Bytes asked for in one read.
    private static let readBytes = 64 << 10
    /// Room for the longest head and a payload short enough to be waited for here.
    private static let capacity = 2 * readBytes + (32 << 10)

    private let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    private var begin = 0
    private var end = 0

    deinit {
        memory.deallocate()
    }

    var count: Int { end - begin }

    /// The first byte that was not consumed; valid until the next read.
    var start: UnsafeRawPointer { UnsafeRawPointer(memory + begin) }

    mutating func consume(_ count: Int) {
        begin += count
    }

    /// Where the next read goes. Moves what is left to the front.
    mutating func freeSpace() -> UnsafeMutableRawBufferPointer {
        if begin > 0 {
            if count > 0 { memmove(memory, memory + begin, count) }
            end -= begin
            begin = 0
        }
        return UnsafeMutableRawBufferPointer(start: memory + end, count: min(Self.readBytes, Self.capacity - end))
    }

    mutating func received(_ count: Int) {
        end += count
    }
}
