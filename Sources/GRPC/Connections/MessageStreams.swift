/// The streams of a connection that the client has not ended, and how far each is with the gRPC message that it is at: a
/// byte that says whether it is compressed, four bytes of its length, and the message.
struct MessageStreams {
    /// A message whose prefix was read.
    struct Begun {
        let isCompressed: Bool
        let length: Int
        /// Whether the prefix lies before the message in the same memory.
        let isPrefixInHand: Bool
    }

    private struct Stream {
        let id: UInt32
        var prefix: UInt64 = 0
        var prefixCount = 0
        /// Bytes of the message that are to come.
        var messageLeft = 0
        /// Bytes that were admitted for it.
        var admitted = 0
        /// What comes on it is not looked at any more.
        var isRefused = false
    }

    private static let prefixBytes = 5

    /// The newest last: it is the one that is looked for, nearly always.
    private var streams: [Stream] = []
    private(set) var admittedBytes = 0

    var count: Int { streams.count }

    mutating func open(_ id: UInt32) {
        streams.append(Stream(id: id))
    }

    /// -1 when it is not open.
    func index(of id: UInt32) -> Int {
        var index = streams.count - 1
        while index >= 0, streams[index].id != id { index -= 1 }
        return index
    }

    mutating func remove(_ id: UInt32) {
        let index = index(of: id)
        guard index >= 0 else { return }
        admittedBytes -= streams[index].admitted
        streams.remove(at: index)
    }

    func isWithinMessage(_ index: Int) -> Bool {
        index >= 0 && index < streams.count && streams[index].messageLeft > 0
    }

    mutating func admit(_ bytes: Int, _ index: Int) {
        streams[index].admitted += bytes
        admittedBytes += bytes
    }

    mutating func refuse(_ index: Int) {
        streams[index].isRefused = true
        streams[index].messageLeft = 0
    }

    /// Reads on until a message begins, or `end`.
    mutating func read(
        _ index: Int, _ bytes: UnsafeMutableRawBufferPointer, _ offset: inout Int, _ end: Int
    ) -> Begun? {
        guard !streams[index].isRefused else { return nil }
        while offset < end {
            if streams[index].messageLeft > 0 {
                let count = min(streams[index].messageLeft, end - offset)
                offset += count
                streams[index].messageLeft -= count
                if streams[index].messageLeft == 0 { finish(index) }
                continue
            }
            let start = offset
            while streams[index].prefixCount < Self.prefixBytes, offset < end {
                streams[index].prefix = streams[index].prefix << 8 | UInt64(bytes[offset])
                streams[index].prefixCount += 1
                offset += 1
            }
            guard streams[index].prefixCount == Self.prefixBytes else { return nil }
            let prefix = streams[index].prefix
            streams[index].prefix = 0
            streams[index].prefixCount = 0
            let length = Int(prefix & 0xFFFF_FFFF)
            streams[index].messageLeft = length
            return Begun(
                isCompressed: prefix >> 32 == 1, length: length, isPrefixInHand: offset - start == Self.prefixBytes)
        }
        return nil
    }

    private mutating func finish(_ index: Int) {
        admittedBytes -= streams[index].admitted
        streams[index].admitted = 0
    }
}
