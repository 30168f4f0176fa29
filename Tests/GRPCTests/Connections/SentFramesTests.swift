@testable import GRPC
import Testing

@Suite struct SentFramesTests {
    @Test(arguments: [1, 2, 7, 1_000]) func itTellsWhatWasSentHoweverItIsCut(_ piece: Int) {
        let bytes =
            ClientBytes.frame(FrameHead.Kind.settings, 0, 0, [0, 4, 0, 1, 0, 0]) + ClientBytes.headers(1)
            + ClientBytes.data(1, ClientBytes.message(100)) + ClientBytes.headers(1, ends: true)
            + ClientBytes.reset(3) + ClientBytes.frame(FrameHead.Kind.reset, 0, 5, [0, 0, 0, 0])
            + ClientBytes.data(7, [1, 2, 3], ends: true)
        var frames = SentFrames()
        var part = SentFrames.Part()
        var ended: [String] = []
        for start in stride(from: 0, to: bytes.count, by: piece) {
            bytes[start..<min(start + piece, bytes.count)].withUnsafeBytes { raw in
                frames.read(raw, into: &part) { ended.append("\($0)\($1 ? " by fault" : "")") }
            }
        }
        #expect(ended == ["1", "3 by fault", "5", "7"])
        #expect(part.dataFrames == 2 && part.dataBytes == 108)
    }
}
