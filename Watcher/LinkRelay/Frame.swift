import WatcherLink

/// Functions on whole frames, header and body.
enum Frame {
    private static let idOffset = 8

    /// - Parameter frame: at least its header.
    static func header(of frame: [UInt8]) -> FrameHeader {
        precondition(frame.count >= FrameHeader.size)
        return frame.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { fatalError("an array without memory") }
            return FrameHeader(decoding: start)
        }
    }

    /// The same frame with another id.
    static func renamed(_ frame: [UInt8], to id: UInt64) -> [UInt8] { replacing(id, at: idOffset, in: frame) }

    /// A CallOut with another parent.
    ///
    /// - Parameter frame: a CallOut with a head that has been read successfully.
    static func withParent(_ frame: [UInt8], _ id: UInt64) -> [UInt8] { replacing(id, at: FrameHeader.size, in: frame) }

    private static func replacing(_ id: UInt64, at offset: Int, in frame: [UInt8]) -> [UInt8] {
        var frame = frame
        frame.withUnsafeMutableBytes { $0.storeBytes(of: id.littleEndian, toByteOffset: offset, as: UInt64.self) }
        return frame
    }

    static func withHead<Result>(
        of frame: [UInt8], _ body: (UnsafeRawBufferPointer) throws(LinkError) -> Result
    ) throws(LinkError) -> Result {
        let header = header(of: frame)
        var result: Swift.Result<Result, LinkError>?
        frame.withUnsafeBytes { bytes in
            let head = UnsafeRawBufferPointer(
                rebasing: bytes[FrameHeader.size..<FrameHeader.size + header.headLength])
            do throws(LinkError) { result = .success(try body(head)) } catch { result = .failure(error) }
        }
        guard let result else { fatalError("withUnsafeBytes did not call") }
        return try result.get()
    }

    static func payload(of frame: [UInt8]) -> [UInt8] {
        Array(frame[(FrameHeader.size + header(of: frame).headLength)...])
    }
}
