internal import GRPC
internal import GatewayProtocol

extension InvocationOutput {
    /// The message that carries the output to a gRPC caller: `Message` and `Messages` both have it in field 1.
    consuming func message(_ suffix: ReplySuffix? = nil) -> ByteBuffer {
        let count = count
        let suffixLength = suffix?.length ?? 0
        guard isOwned else {
            let bytes = bytes
            let prefixLength = ReplyPrefix.length(count: count)
            return ByteBuffer(count: prefixLength + count + suffixLength) { target in
                _ = ReplyPrefix.encode(count: count, to: target)
                if count > 0 {
                    UnsafeMutableRawBufferPointer(rebasing: target[prefixLength...]).copyMemory(from: bytes)
                }
                suffix?.encode(to: UnsafeMutableRawBufferPointer(rebasing: target[(prefixLength + count)...]))
            }
        }
        let prefix = [UInt8](unsafeUninitializedCapacity: ReplyPrefix.bytesMax) { target, length in
            length = ReplyPrefix.encode(count: count, to: UnsafeMutableRawBufferPointer(target))
        }
        let end = [UInt8](unsafeUninitializedCapacity: ReplySuffix.bytesMax) { target, length in
            suffix?.encode(to: UnsafeMutableRawBufferPointer(target))
            length = suffixLength
        }
        guard let memory = takeMemory() else { return ByteBuffer(prefix) }
        return ByteBuffer(prefix: prefix, memory, suffix: end)
    }
}
