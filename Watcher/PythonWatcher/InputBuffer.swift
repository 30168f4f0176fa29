import Glibc

/// The bytes that came over the link and are not parsed yet.
struct InputBuffer: ~Copyable {
    /// The largest read, in bytes.
    private static let readBytes = 64 << 10
    /// Room for the longest head, and for a payload that is short enough to be collected here.
    private static let capacity = 2 * readBytes + (32 << 10)

    private let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    private var begin = 0
    private var end = 0

    deinit {
        memory.deallocate()
    }

    var count: Int { end - begin }

    /// The first byte that is not consumed; valid until the next read.
    var start: UnsafeRawPointer { UnsafeRawPointer(memory + begin) }

    mutating func consume(_ count: Int) {
        begin += count
    }

    /// The memory for the next read. Moves the bytes that are left to the front.
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
