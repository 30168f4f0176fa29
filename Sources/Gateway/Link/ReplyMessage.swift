internal import GRPC
internal import GatewayProtocol

/// A handler's reply as the message that carries it to the caller.
enum ReplyMessage {
    /// A message with a copy of a short reply.
    static func copying(_ reply: UnsafeRawBufferPointer) -> ByteBuffer {
        ByteBuffer(count: ReplyPrefix.length(count: reply.count) + reply.count) { target in
            let prefix = ReplyPrefix.encode(count: reply.count, to: target)
            UnsafeMutableRawBufferPointer(rebasing: target[prefix...]).copyMemory(from: reply)
        }
    }

    /// A message whose reply stays where it was read to.
    static func around(_ memory: consuming SliceMemory) -> ByteBuffer {
        let count = memory.bytes.count
        let prefix = [UInt8](unsafeUninitializedCapacity: ReplyPrefix.bytesMax) { target, length in
            length = ReplyPrefix.encode(count: count, to: UnsafeMutableRawBufferPointer(target))
        }
        return ByteBuffer(prefix: prefix, memory)
    }
}
