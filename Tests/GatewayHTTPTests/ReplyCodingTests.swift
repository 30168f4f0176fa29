import Calls
@testable import GatewayHTTP
import NIOCore
import Testing

@Suite struct ReplyCodingTests {
    @Test(arguments: [
        "gzip", "gzip, deflate, br", "deflate, GZIP", "br;q=1.0, gzip;q=0.8, *;q=0.1", "*", "x-gzip", "gzip ; q=0.5",
        "identity;q=0, *",
    ])
    func isTaken(_ accepted: String) {
        #expect(ReplyCoding(accepted).takesGzip)
    }

    @Test(arguments: [
        nil, "", "identity", "br", "gzip;q=0", "gzip;q=0.0, *", "*;q=0", "gzipped", "deflate", "gzip;q=none",
    ])
    func isNotTaken(_ accepted: String?) {
        #expect(!ReplyCoding(accepted).takesGzip)
    }

    @Test func aSmallReplyIsNotPacked() {
        let coding = ReplyCoding("gzip")
        #expect(!coding.packs(1_023, ReplyMetadata()))
        #expect(coding.packs(1_024, ReplyMetadata()))
        #expect(!ReplyCoding(nil).packs(1_024, ReplyMetadata()))
    }

    @Test(arguments: [1_024, 100_000, 3_000_000]) func whatIsPackedUnpacks(_ count: Int) throws {
        let content = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let packed = try #require(Deflater.gzip(ByteBuffer(bytes: content)))
        #expect(packed.readableBytes < count / 2)
        var unpacked: [UInt8] = []
        var inflater = try Inflater()
        try inflater.inflate(packed) { (piece) throws(CallFailure) in
            unpacked.append(contentsOf: piece.readableBytesView)
        }
        try inflater.finish()
        #expect(unpacked == content)
    }

    @Test func whatWouldNotGetSmallerStaysAsItIs() {
        var generator = SystemRandomNumberGenerator()
        let noise = (0..<10_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        #expect(Deflater.gzip(ByteBuffer(bytes: noise)) == nil)
        #expect(Deflater.gzip(ByteBuffer()) == nil)
    }
}
