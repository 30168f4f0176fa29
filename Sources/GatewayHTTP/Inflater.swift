internal import CZlib
internal import Calls
internal import NIOCore

/// How the body of a request is packed (RFC 9110, 8.4.1).
enum ContentCoding {
    case identity
    case gzip
    case deflate

    /// - Throws: for a coding that this server does not know.
    init(_ header: String?) throws(CallFailure) {
        switch header {
        case nil, "", "identity": self = .identity
        case "gzip", "x-gzip": self = .gzip
        case "deflate": self = .deflate
        case .some(let other): throw .unknownCoding(other)
        }
    }

    /// What unpacks it; nil where nothing is packed.
    func inflater() throws(CallFailure) -> Inflater? {
        self == .identity ? nil : try Inflater()
    }
}

/// Unpacks a body in gzip's or zlib's format, a piece at a time.
struct Inflater: ~Copyable {
    /// How many bytes are unpacked at a time.
    private static let pieceBytes = 64 << 10
    /// The largest window, and gzip's format beside zlib's.
    private static let windowBits: Int32 = 15 + 32

    private let stream: UnsafeMutablePointer<z_stream>
    private var hasEnded = false

    init() throws(CallFailure) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let result = inflateInit2_(stream, Self.windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard result == Z_OK else { throw .unpackingFailed("zlib has no memory") }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Unpacks `packed`, and passes on what comes out piece by piece, so that a small body that unpacks to a huge one
    /// is refused before it has used much memory.
    mutating func inflate(
        _ packed: ByteBuffer, _ receive: (ByteBuffer) throws(CallFailure) -> Void
    ) throws(CallFailure) {
        try packed.withUnsafeReadableBytes { (bytes) throws(CallFailure) in
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
            stream.pointee.avail_in = UInt32(bytes.count)
            repeat {
                // Several packed parts may follow one another (RFC 1952, 2.2).
                if hasEnded, stream.pointee.avail_in > 0 { inflateReset(stream) }
                var result = Z_OK
                let piece = ByteBuffer(capacity: Self.pieceBytes) { target in
                    stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
                    stream.pointee.avail_out = UInt32(target.count)
                    result = CZlib.inflate(stream, Z_NO_FLUSH)
                    return target.count - Int(stream.pointee.avail_out)
                }
                if piece.readableBytes > 0 { try receive(piece) }
                hasEnded = result == Z_STREAM_END
                switch result {
                case Z_OK, Z_STREAM_END: break
                // Nothing is left to unpack.
                case Z_BUF_ERROR: return
                default:
                    throw CallFailure.unpackingFailed(stream.pointee.msg.map { String(cString: $0) } ?? "\(result)")
                }
            } while stream.pointee.avail_in > 0 || (stream.pointee.avail_out == 0 && !hasEnded)
        }
    }

    /// The whole body was given.
    func finish() throws(CallFailure) {
        guard hasEnded else { throw .unpackingFailed("it ends too early") }
    }
}

extension ByteBuffer {
    /// A buffer with the bytes that `body` writes; `body` returns how many.
    fileprivate init(capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        self.init()
        writeWithUnsafeMutableBytes(minimumWritableBytes: capacity, body)
    }
}
