internal import Glibc

/// Memory on the heap with exactly one owner. It is freed when the owner ends.
package struct OwnedBytes: ~Copyable, @unchecked Sendable {
    // @unchecked: no other value has the memory.
    private let start: UnsafeMutableRawPointer
    package let count: Int

    /// Allocates memory that is not initialized.
    package init(count: Int) {
        guard let start = malloc(max(count, 1)) else { fatalError("no memory for \(count) bytes") }
        self.start = start
        self.count = count
    }

    deinit {
        free(start)
    }

    /// The memory. It is valid as long as this value, also after the value has moved.
    package var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: start, count: count)
    }

    /// Gives the memory away: the caller frees it with `free`.
    package consuming func release() -> UnsafeMutableRawPointer {
        let start = start
        discard self
        return start
    }
}
