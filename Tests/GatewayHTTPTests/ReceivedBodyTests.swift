import Calls
@testable import GatewayHTTP
import NIOCore
import Platform
import Testing

@Suite struct ReceivedBodyTests {
    private func bytes(of body: ReceivedBody) -> [UInt8] {
        let input = InvocationInput(
            HTTPInput(body, BodyRoom(ByteBudget(limit: 1 << 30, connectionLimit: 1 << 30))), offset: 0,
            count: body.count)
        var all: [UInt8] = []
        input.forEachPiece {
            all.append(contentsOf: $0)
            return true
        }
        return all
    }

    @Test(arguments: [[1, 1, 1], [0, 5, 0], [100_000, 1, 100_000], [8_191, 8_192, 8_193], [70_000], []])
    func allBytesAreThereInOrder(_ lengths: [Int]) {
        var body = ReceivedBody()
        var sent: [UInt8] = []
        for (index, length) in lengths.enumerated() {
            let piece = [UInt8](repeating: UInt8(index + 1), count: length)
            sent += piece
            body.append(ByteBuffer(bytes: piece))
        }
        #expect(body.count == sent.count)
        #expect(bytes(of: body) == sent)
    }

    @Test func aPieceOfOneByteKeepsNoMoreThanItself() {
        var body = ReceivedBody()
        for index in 0..<20_000 {
            var read = ByteBuffer()
            read.reserveCapacity(64 << 10)
            read.writeInteger(UInt8(index & 0xFF))
            body.append(read)
        }
        #expect(body.count == 20_000)
        #expect(body.pieces.reduce(0) { $0 + $1.capacity } <= 64 << 10)
        #expect(bytes(of: body).enumerated().allSatisfy { $0.element == UInt8($0.offset & 0xFF) })
    }

    @Test func aLongBodyOfSmallPiecesIsNotOnePiece() {
        var body = ReceivedBody()
        for _ in 0..<1_000 { body.append(ByteBuffer(repeating: 7, count: 1_000)) }
        #expect(body.pieces.count > 10)
        #expect(body.pieces.count < 20)
        #expect(bytes(of: body) == [UInt8](repeating: 7, count: 1_000_000))
    }
}
