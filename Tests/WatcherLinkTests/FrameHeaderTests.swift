import Testing
import WatcherLink

@Suite struct FrameHeaderTests {
    private func encoded(_ header: FrameHeader) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: FrameHeader.size) { target, count in
            guard let base = target.baseAddress else { return }
            header.encode(to: UnsafeMutableRawPointer(base))
            count = FrameHeader.size
        }
    }

    @Test func theLayoutIsTheProtocol() {
        let header = FrameHeader(
            kind: .reply, flags: .text, id: 0x0102_0304_0506_0708, headLength: 2, payloadLength: 0x01_0000)
        #expect(encoded(header) == [2, 0, 1, 0, 6, 2, 2, 0, 8, 7, 6, 5, 4, 3, 2, 1])
    }

    @Test func whatIsWrittenIsRead() {
        let header = FrameHeader(kind: .call, flags: .optional, id: .max, headLength: 65_535, payloadLength: 64 << 20)
        let bytes = encoded(header)
        bytes.withUnsafeBytes { raw in
            guard let base = raw.baseAddress else { return }
            let read = FrameHeader(decoding: base)
            #expect(read == header)
            #expect(read.payloadLength == 64 << 20)
        }
    }

    @Test func whatCannotBeRightIsRefusedBeforeItIsRead() {
        var header = FrameHeader(kind: .reply, headLength: 0, payloadLength: 1024 + FrameHeader.headAllowance)
        #expect(throws: Never.self) { try header.validate(maxBodyLength: 1024) }
        header.bodyLength += 1
        #expect(throws: LinkError.tooLong(kind: 6, length: header.bodyLength, limit: 1024 + FrameHeader.headAllowance))
        {
            try header.validate(maxBodyLength: 1024)
        }
        header.bodyLength = 4
        header.headLength = 5
        #expect(throws: LinkError.self) { try header.validate(maxBodyLength: 1024) }
    }
}
