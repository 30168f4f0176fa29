internal import GRPC

/// What a handler returned, or one piece of it, as the link read it. It knows nothing of the protocol that will carry it.
package struct InvocationOutput: ~Copyable {
    /// Valid as long as the output, and never longer than the call that got it: whoever needs them then copies them,
    /// or takes `memory`.
    let bytes: UnsafeRawBufferPointer
    /// Whether it is known to be valid UTF-8.
    let isText: Bool
    /// Whether `takeMemory` gives something.
    let isOwned: Bool
    /// Where the bytes lie, when they are many and can stay there.
    private let memory: SliceMemory?

    /// Bytes that are the link's.
    init(borrowing bytes: UnsafeRawBufferPointer, isText: Bool = false) {
        self.bytes = bytes
        self.isText = isText
        isOwned = false
        memory = nil
    }

    init(owning memory: consuming SliceMemory, isText: Bool = false) {
        // Not inside the value: they stay where they are when it moves.
        bytes = UnsafeRawBufferPointer(memory.bytes)
        self.isText = isText
        isOwned = true
        self.memory = consume memory
    }

    /// An output without bytes.
    static var empty: InvocationOutput {
        InvocationOutput(borrowing: UnsafeRawBufferPointer(start: nil, count: 0), isText: true)
    }

    var count: Int { bytes.count }

    /// Gives up the memory in which the bytes lie; nil when they must be copied.
    consuming func takeMemory() -> SliceMemory? { memory }
}
