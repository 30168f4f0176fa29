import CZlib
import Calls
@testable import GatewayHTTP
import NIOCore
import Testing

@Suite struct InflaterTests {
    /// `hello hello hello`, as `gzip -9n` packs it.
    private static let gzip: [UInt8] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57, 0xc8,
        0x40, 0x90, 0x00, 0x80, 0x88, 0xf9, 0xe5, 0x11, 0x00, 0x00, 0x00,
    ]
    private static let text = Array("hello hello hello".utf8)

    private func unpack(_ packed: [UInt8], by step: Int, finish: Bool = true) throws -> [UInt8] {
        var inflater = try Inflater()
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: packed.count, by: step) {
            let piece = ByteBuffer(bytes: packed[start..<min(start + step, packed.count)])
            try inflater.inflate(piece) { bytes.append(contentsOf: $0.readableBytesView) }
        }
        if finish { try inflater.finish() }
        return bytes
    }

    @Test(arguments: [1, 2, 7, 1_000]) func unpacksPieceByPiece(_ step: Int) throws {
        #expect(try unpack(Self.gzip, by: step) == Self.text)
    }

    @Test(arguments: [1, 5, 1_000]) func partsMayFollowOneAnother(_ step: Int) throws {
        #expect(try unpack(Self.gzip + Self.gzip, by: step) == Self.text + Self.text)
    }

    @Test(arguments: 1..<28) func anEarlyEndIsAnError(_ length: Int) {
        #expect(throws: CallFailure.self) { try unpack(Array(Self.gzip.prefix(length)), by: 1_000) }
    }

    @Test func otherBytesAreAnError() {
        #expect(throws: CallFailure.self) { try unpack(Array("this is not packed".utf8), by: 1_000) }
        #expect(throws: CallFailure.self) { try unpack(Self.gzip + Array("garbage".utf8), by: 1_000) }
        var wrongSum = Self.gzip
        wrongSum[20] ^= 1
        #expect(throws: CallFailure.self) { try unpack(wrongSum, by: 1_000) }
    }

    @Test func theReceiverStopsABomb() throws {
        let zeros = [UInt8](repeating: 0, count: 4 << 20)
        var packed = [UInt8](repeating: 0, count: 64 << 10)
        var count = UInt(packed.count)
        #expect(compress2(&packed, &count, zeros, UInt(zeros.count), 9) == Z_OK)
        packed.removeSubrange(Int(count)...)
        var inflater = try Inflater()
        var received = 0
        #expect(throws: CallFailure.self) {
            try inflater.inflate(ByteBuffer(bytes: packed)) { (piece) throws(CallFailure) in
                received += piece.readableBytes
                if received > 1 << 20 { throw .inputTooLarge(received, limit: 1 << 20) }
            }
        }
        #expect(received <= (1 << 20) + (64 << 10))
    }
}
