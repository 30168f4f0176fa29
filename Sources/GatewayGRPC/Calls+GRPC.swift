internal import Calls
internal import GatewayProtocol
internal import GRPC
internal import Platform

extension HeaderPolicy {
    /// The headers of gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): pseudo headers and the
    /// protocol's own. On the way to the caller also headers with values that are not printable ASCII, unless the name
    /// ends in `-bin`: those are sent as base64.
    static let grpc = HeaderPolicy { name, value in
        guard let first = name.first else { return true }
        switch first {
        case UInt8(ascii: ":"): return true
        case UInt8(ascii: "g"): if name.hasPrefix("grpc-") { return true }
        case UInt8(ascii: "c"): if name.isEqual(to: "content-type") { return true }
        case UInt8(ascii: "t"): if name.isEqual(to: "te") { return true }
        case UInt8(ascii: "u"): if name.isEqual(to: "user-agent") { return true }
        default: break
        }
        guard let value, !name.hasSuffix("-bin") else { return false }
        return !value.allSatisfy { (0x20...0x7E).contains($0) }
    }
}

extension RequestMetadata {
    /// The metadata of a gRPC call, for the gateway and for the handler.
    init(_ call: CoreCall) {
        self.init()
        call.forEachMetadata { add($0, $1, by: .grpc) }
        complete()
    }
}

extension CoreCall {
    /// Sends the request's id and trace to the caller, in the trailers.
    func addTrailers(_ metadata: borrowing RequestMetadata) {
        var requestID = metadata.requestID
        requestID.withUTF8 { addTrailer(RequestMetadata.requestIDKey, UnsafeRawBufferPointer($0)) }
        metadata.withTraceParent { addTrailer(RequestMetadata.traceParentKey, $0) }
    }

    /// Sends the handler's metadata to the caller, in the trailers.
    func addTrailers(_ metadata: borrowing ReplyMetadata) {
        metadata.forEach(by: .grpc) { addTrailer($0, $1) }
    }
}

extension InvocationOutput {
    /// The message that carries the output to a gRPC caller: a `Message`, or a `Messages` with a suffix.
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

extension ByteBuffer: SegmentedBytes {}

/// A request's message as the storage of its input.
final class RequestMessage: InputStorage {
    private let buffer: ByteBuffer

    init(_ buffer: consuming ByteBuffer) {
        self.buffer = buffer
    }

    var segmentCount: Int { buffer.segmentCount }
    func segment(_ index: Int) -> UnsafeRawBufferPointer { buffer.segment(index) }
}

/// A message that is passed on and removed once. Its holders use it one after another.
final class HeldMessage: @unchecked Sendable {
    // @unchecked: only one thread at a time holds it, and passes it on.
    private var buffer: ByteBuffer?

    init(_ buffer: consuming ByteBuffer) {
        self.buffer = consume buffer
    }

    /// Removes the message; nil the second time.
    func take() -> ByteBuffer? {
        buffer.take()
    }
}

extension Status {
    /// The status that the caller of a failed call gets, without the handler's metadata.
    init(_ failure: CallFailure) {
        var metadata: Metadata = ["dcf-executed": failure.executed.rawValue]
        if let millis = failure.retryPushbackMillis { metadata["grpc-retry-pushback-ms"] = "\(millis)" }
        self.init(failure.code, failure.message, metadata: metadata)
    }
}

extension CallFailure {
    /// The request does not parse.
    static func malformedRequest(_ method: GatewayMethod) -> CallFailure {
        CallFailure(.invalidArgument, executed: .no, "the request is not an InvokeServiceRequest of \(method.path)")
    }

    /// The message was refused before it was read.
    static func refused(_ refusal: MessageRefusal) -> CallFailure {
        switch refusal {
        case .compressed:
            CallFailure(
                .unimplemented, executed: .no,
                "the message is compressed, and only plain ones are accepted (grpc-accept-encoding: identity)")
        case .tooLarge(let bytes):
            CallFailure(
                .resourceExhausted, executed: .no,
                "the message has \(bytes) bytes, more than a message may have (message)")
        case .noRoom(let bytes):
            CallFailure(
                .resourceExhausted, executed: .no,
                "there is no room for the message of \(bytes) bytes beside those that are on their way (input-bytes, "
                    + "input-bytes-per-connection)", retryPushbackMillis: queuePushbackMillis)
        }
    }
}
