import SystemPackage

extension FileDescriptor {
    /// More bytes than the reader allows.
    struct TooLong: Error {}

    /// Everything to the end of the file. Throws `Errno`, or `TooLong`.
    func readToEnd(bytesMax: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var capacity = 64 << 10
        while true {
            let piece = try [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                count = try read(into: UnsafeMutableRawBufferPointer(buffer))
            }
            if piece.isEmpty { return bytes }
            guard bytes.count + piece.count <= bytesMax else { throw TooLong() }
            if bytes.isEmpty { bytes = piece } else { bytes += piece }
            capacity = min(capacity * 2, 4 << 20)
        }
    }
}
