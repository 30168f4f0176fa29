import FoundationEssentials
import SwiftProtobuf
import Testing

@testable import GatewayProtocol

/// A message in several segments, as the network delivers it.
private final class Pieces: SegmentedBytes {
    private let pieces: [UnsafeMutableRawBufferPointer]

    init(_ pieces: [[UInt8]]) {
        self.pieces = pieces.map { piece in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(piece.count, 1), alignment: 1)
            memory.copyBytes(from: piece)
            return UnsafeMutableRawBufferPointer(rebasing: memory[..<piece.count])
        }
    }

    deinit {
        for piece in pieces { piece.baseAddress?.deallocate() }
    }

    var segmentCount: Int { pieces.count }
    func segment(_ index: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(pieces[index]) }
}

@Suite struct InvokeRequestScanTests {
    private static let message: [UInt8] = {
        var request = Pb_InvokeServiceRequest()
        request.service = "echo"
        request.input = Data([7, 8, 9])
        return (try? request.serializedBytes()) ?? []
    }()

    private func check(_ pieces: [[UInt8]], sourceLocation: SourceLocation = #_sourceLocation) {
        let scan = InvokeRequestScan(Pieces(pieces))
        #expect(scan?.service == "echo", sourceLocation: sourceLocation)
        #expect(scan?.inputOffset == 8 && scan?.inputCount == 3, sourceLocation: sourceLocation)
    }

    @Test func wholeOrSplitAnywhere() {
        check([Self.message])
        for at in 0...Self.message.count {
            check([Array(Self.message[..<at]), Array(Self.message[at...])])
        }
        check(Self.message.map { [$0] })
    }

    @Test func emptySegmentsSayNothing() {
        check([Self.message, []])
        check([[], Self.message, [], []])
        for at in 0...Self.message.count {
            check([Array(Self.message[..<at]), [], [], Array(Self.message[at...]), []])
        }
    }

    @Test func nothingAtAllIsAnEmptyRequest() {
        for pieces in [[], [[]], [[], []]] as [[[UInt8]]] {
            let scan = InvokeRequestScan(Pieces(pieces))
            #expect(scan?.service == "" && scan?.inputCount == 0)
        }
    }

    @Test func whatIsCutShortIsNoMessage() {
        for count in 1..<Self.message.count where count != 6 {
            #expect(InvokeRequestScan(Pieces([Array(Self.message[..<count])])) == nil, "\(count) bytes")
            #expect(InvokeRequestScan(Pieces([Array(Self.message[..<count]), []])) == nil, "\(count) bytes")
        }
    }
}
