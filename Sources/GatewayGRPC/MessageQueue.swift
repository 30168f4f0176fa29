internal import Calls
internal import DequeModule
internal import GRPC
internal import GatewayProtocol

/// Encoded messages that wait to be sent, in order. Small messages lie one behind the other in one block of memory, so
/// that many of them cost little more than their bytes. A value, used under the stream's lock.
struct MessageQueue {
    /// A message and its credit in bytes.
    private struct Entry {
        let length: Int
        let credit: Int
        /// The count of the message; nil for a message without output.
        let counted: SentBytes?
        /// A large message, which is not copied.
        let large: HeldMessage?
    }

    /// How many bytes of memory an empty queue keeps for the next messages.
    private static let keptBytes = 256 << 10

    private var bytes: [UInt8] = []
    private var start = 0
    private var entries = Deque<Entry>()

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    mutating func append(
        _ output: consuming InvocationOutput, _ suffix: ReplySuffix, credit: Int, counted: SentBytes?
    ) {
        guard !output.isOwned else {
            entries.append(
                Entry(length: 0, credit: credit, counted: counted, large: HeldMessage(output.message(suffix))))
            return
        }
        let begin = bytes.count
        withUnsafeTemporaryAllocation(byteCount: ReplyPrefix.bytesMax + ReplySuffix.bytesMax, alignment: 1) { raw in
            let prefix = ReplyPrefix.encode(count: output.count, to: raw)
            bytes.append(contentsOf: raw[..<prefix])
            bytes.append(contentsOf: output.bytes)
            suffix.encode(to: raw)
            bytes.append(contentsOf: raw[..<suffix.length])
        }
        entries.append(Entry(length: bytes.count - begin, credit: credit, counted: counted, large: nil))
    }

    mutating func popFirst() -> (message: HeldMessage, credit: Int, counted: SentBytes?)? {
        guard let entry = entries.popFirst() else { return nil }
        if let large = entry.large { return (large, entry.credit, entry.counted) }
        let message = bytes.withUnsafeBytes { raw in
            HeldMessage(
                ByteBuffer(count: entry.length) {
                    $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[start..<start + entry.length]))
                })
        }
        start += entry.length
        if entries.isEmpty {
            bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptBytes)
            start = 0
        } else if start > bytes.count / 2, start > Self.keptBytes / 8 {
            bytes.removeFirst(start)
            start = 0
        }
        return (message, entry.credit, entry.counted)
    }

    /// - Returns: the counts of the messages that are removed.
    mutating func removeAll() -> [SentBytes] {
        defer { self = MessageQueue() }
        return entries.compactMap(\.counted)
    }
}
