/// The streams of a connection that the client has not ended, and how far each has come with its current gRPC message.
/// A message is a byte that says whether it is compressed, four bytes for its length, and its bytes. A value.
struct MessageStreams {
    /// A message that has begun: its prefix was read.
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
        /// How many bytes of the message are still to come.
        var messageLeft = 0
        /// How many bytes were admitted for it.
        var admitted = 0
        /// Whether its bytes are not read any more.
        var isRefused = false
    }

    private static let prefixBytes = 5

    /// The newest is last: it is nearly always the one that is looked for.
    private var streams: [Stream] = []
    private(set) var admittedBytes = 0

    var count: Int { streams.count }

    mutating func open(_ id: UInt32) {
        streams.append(Stream(id: id))
    }

    /// The index of a stream; -1 when it is not open.
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
