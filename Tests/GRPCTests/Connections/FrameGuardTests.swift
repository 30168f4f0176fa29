@testable import GRPC
import Platform
import Testing

@Suite struct FrameGuardTests {
    /// A flood: the bytes before it, and the bytes that are repeated.
    struct Flood: CustomTestStringConvertible, Sendable {
        let name: String
        var before: [UInt8] = []
        let each: @Sendable (UInt32) -> [UInt8]
        /// How often it may come at one moment.
        let allowed: Int
        let breach: FrameBreach

        var testDescription: String { name }
    }

    static let floods = [
        Flood(
            name: "streams before the ACK", each: { ClientBytes.headers(2 * $0 + 1, ends: true) }, allowed: 100,
            breach: .unackedStreams),
        Flood(
            name: "resets", before: ClientBytes.acknowledgement,
            each: { ClientBytes.headers(2 * $0 + 1) + ClientBytes.reset(2 * $0 + 1) }, allowed: 500, breach: .resets),
        Flood(
            name: "continuations", before: ClientBytes.frame(1, 0, 1), each: { _ in ClientBytes.frame(9, 0, 1) },
            allowed: 16, breach: .continuations),
        Flood(
            name: "a header block", before: ClientBytes.frame(1, 0, 1),
            each: { _ in ClientBytes.frame(9, 0, 1, [UInt8](repeating: 0, count: 8 << 10)) }, allowed: 8,
            breach: .headerBytes),
        Flood(
            name: "empty DATA", before: ClientBytes.headers(1), each: { _ in ClientBytes.data(1, []) }, allowed: 100,
            breach: .emptyData),
        Flood(
            name: "DATA of one byte",
            before: ClientBytes.headers(1) + ClientBytes.data(1, ClientBytes.message(1 << 20, first: 1)),
            each: { _ in ClientBytes.data(1, [7]) }, allowed: 100, breach: .emptyData),
        Flood(
            name: "PING", each: { _ in ClientBytes.frame(6, 0, 0, [UInt8](repeating: 0, count: 8)) }, allowed: 1_000,
            breach: .control),
        Flood(name: "SETTINGS", each: { _ in ClientBytes.frame(4, 0, 0) }, allowed: 100, breach: .control),
        Flood(name: "acknowledgements", each: { _ in ClientBytes.acknowledgement }, allowed: 1_000, breach: .control),
        Flood(
            name: "PRIORITY", each: { _ in ClientBytes.frame(2, 0, 3, [0, 0, 0, 0, 1]) }, allowed: 1_000,
            breach: .control),
        Flood(
            name: "unknown frames", each: { _ in ClientBytes.frame(0x77, 0, 0, [1, 2, 3]) }, allowed: 1_000,
            breach: .control),
        Flood(
            name: "small WINDOW_UPDATE", before: ClientBytes.headers(1),
            each: { _ in ClientBytes.windowUpdate(1, by: 1) },
            allowed: 10_008, breach: .control),
    ]

    @Test(arguments: floods) func aFloodIsABreachAndNoSooner(_ flood: Flood) {
        var frames = FrameGuard(FrameGuardLimits())
        expect(frames.read(ClientBytes.preface + flood.before), nil)
        for index in 0..<flood.allowed {
            expect(frames.read(flood.each(UInt32(index))), nil, "number \(index)")
        }
        expect(frames.read(flood.each(UInt32(flood.allowed))), flood.breach)
    }

    @Test(arguments: [("resets", 500.0), ("PING", 100), ("SETTINGS", 2), ("PRIORITY", 100), ("empty DATA", 10)])
    func whatComesNoFasterIsLetPass(_ name: String, _ perSecond: Double) throws {
        let flood = try #require(Self.floods.first { $0.name == name })
        var frames = FrameGuard(FrameGuardLimits())
        expect(frames.read(ClientBytes.preface + flood.before), nil)
        for index in 0..<3_000 {
            #expect(
                frames.read(flood.each(UInt32(index)), seconds: Double(index) / perSecond) == nil, "number \(index)")
        }
    }

    @Test func anAcknowledgementOfWhatWasNotSentIsABreach() {
        var frames = FrameGuard(FrameGuardLimits())
        expect(frames.read(ClientBytes.preface + ClientBytes.acknowledgement, hasSent: false), .unackedStreams)
    }

    @Test func nothingComesBetweenTheFramesOfAHeaderBlock() {
        for between in [ClientBytes.frame(6, 0, 0, [UInt8](repeating: 0, count: 8)), ClientBytes.frame(9, 4, 3)] {
            var frames = FrameGuard(FrameGuardLimits())
            expect(frames.read(ClientBytes.preface + ClientBytes.frame(1, 0, 1) + between), .continuations)
        }
        var frames = FrameGuard(FrameGuardLimits())
        expect(frames.read(ClientBytes.preface + ClientBytes.frame(9, 4, 1)), .continuations)
    }

    @Test func resetsThatTheClientMakesTheServerSendCountToo() {
        var frames = FrameGuard(FrameGuardLimits())
        var breach: FrameBreach?
        for stream in 0..<501 {
            breach = frames.ended(UInt32(stream), isFault: true, now: { MonotonicTime(nanoseconds: 0) })
        }
        #expect(breach == .resets)
    }

    @Test func eachDataFrameThatIsSentAllowsTwoSmallWindowUpdates() {
        var frames = FrameGuard(FrameGuardLimits())
        expect(frames.read(ClientBytes.preface), nil)
        frames.sentDataFrames = 10_000
        for _ in 0..<30_000 { expect(frames.read(ClientBytes.windowUpdate(0, by: 10)), nil) }
        expect(frames.read(ClientBytes.windowUpdate(0, by: 10)), .control)
        expect(frames.read(ClientBytes.windowUpdate(0, by: 4 << 10)), nil)
    }

    // MARK: Messages

    @Test func whatIsUnfinishedCountsUntilItIsWholeOrItsStreamEnds() {
        typealias Bytes = ClientBytes
        var frames = FrameGuard(FrameGuardLimits())
        expect(frames.read(Bytes.preface + Bytes.headers(1) + Bytes.headers(3) + Bytes.headers(5)), nil)
        for stream in [1, 3, 5] as [UInt32] {
            expect(frames.read(Bytes.data(stream, Bytes.message(1_000, first: 500))), nil)
        }
        #expect(frames.unfinishedBytes == 3_000)
        expect(frames.read(Bytes.data(1, [UInt8](repeating: 0, count: 500))), nil)
        #expect(frames.unfinishedBytes == 2_000)
        expect(frames.read(Bytes.reset(3)), nil)
        #expect(frames.unfinishedBytes == 1_000)
        expect(frames.ended(5, isFault: false, now: { .now }), nil)
        #expect(frames.unfinishedBytes == 0)
        // These bytes were on their way when the stream ended.
        expect(frames.read(Bytes.data(5, [UInt8](repeating: 0, count: 500))), nil)
        #expect(frames.unfinishedBytes == 0 && frames.openStreams == 1)
    }

    @Test func aMessageThatIsHereWholeAsksForNoRoom() {
        var frames = FrameGuard(FrameGuardLimits())
        var bytes =
            ClientBytes.preface + ClientBytes.headers(1) + ClientBytes.data(1, ClientBytes.message(1_000), ends: true)
        expect(frames.read(&bytes, room: 0), nil)
        #expect(frames.unfinishedBytes == 0 && frames.openStreams == 0)
    }

    @Test(arguments: [
        (ClientBytes.message(5_000, first: 2_000), MessageRefusal.noRoom(bytes: 5_000)),
        (ClientBytes.message(20_000, first: 2_000), .tooLarge(bytes: 20_000)),
        (ClientBytes.message(3_000, isCompressed: true, first: 2_000), .compressed),
        (ClientBytes.message(100, isCompressed: true), .compressed),
    ])
    func aMessageIsReplacedByWhyItIsRefused(_ message: [UInt8], _ refusal: MessageRefusal) {
        var limits = FrameGuardLimits()
        limits.messageBytes = 10_000
        var frames = FrameGuard(limits)
        let before = ClientBytes.preface + ClientBytes.headers(1) + ClientBytes.data(1, ClientBytes.message(10))
        var bytes = before + ClientBytes.data(1, message)
        let count = bytes.count
        expect(frames.read(&bytes, room: 100), nil)
        #expect(bytes.count == count && frames.unfinishedBytes == 0)
        #expect(Array(bytes.prefix(before.count + 9)) == before + Array(ClientBytes.data(1, message).prefix(9)))
        let payload = Array(bytes.dropFirst(before.count + 9))
        // A plain message takes the rest of the frame.
        #expect(payload.prefix(5) == [0, 0, 0, UInt8((payload.count - 5) >> 8), UInt8((payload.count - 5) & 0xFF)])
        #expect(
            payload.dropFirst(5).withUnsafeBytes { MessageRefusal(UnsafeRawBufferPointer(rebasing: $0[...])) }
                == refusal)
        // Later bytes of the stream pass, and other streams are not affected.
        var more =
            ClientBytes.data(1, [1, 0, 0, 0, 200, 1, 2, 3]) + ClientBytes.headers(3)
            + ClientBytes.data(3, ClientBytes.message(50))
        let copy = more
        expect(frames.read(&more, room: 100), nil)
        #expect(more == copy)
    }

    @Test func whatDoesNotFitAndIsCutUpWhereItBeginsEndsTheConnection() {
        var frames = FrameGuard(FrameGuardLimits())
        var bytes =
            ClientBytes.preface + ClientBytes.headers(1) + ClientBytes.data(1, ClientBytes.message(5_000, first: 2_000))
        expect(frames.read(&bytes, piece: { _ in 1 }, room: 100), .inputBytes)
    }

    // MARK: Against the slow model

    @Test(arguments: 0..<200) func itSaysWhatTheSlowModelSaysHoweverTheBytesAreCut(_ seed: UInt64) {
        var random = SeededNumbers(seed)
        var limits = FrameGuardLimits()
        limits.unackedStreams = Int.random(in: 1...30, using: &random)
        limits.resets = Int.random(in: 1...20, using: &random)
        limits.continuations = Int.random(in: 1...4, using: &random)
        limits.headerBytes = Int.random(in: 30...200, using: &random)
        limits.emptyData = Int.random(in: 1...6, using: &random)
        limits.control = Int.random(in: 10...40, using: &random)
        var bytes = ClientBytes.preface
        for _ in 0..<Int.random(in: 1...80, using: &random) { bytes += Self.frame(&random) }
        // The last frame may be cut off.
        if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0..<9, using: &random)) }
        let slow = SlowFrameGuard(bytes, limits)
        var frames = FrameGuard(limits)
        let most = [1, 3, 20, 1_000, 100_000].randomElement(using: &random) ?? 1
        let breach = frames.read(&bytes, piece: { _ in Int.random(in: 1...most, using: &random) })
        #expect(breach == slow.breach)
        if breach == nil { #expect(frames.unfinishedBytes == slow.unfinishedBytes) }
    }

    private static func frame(_ random: inout SeededNumbers) -> [UInt8] {
        let stream = UInt32(2 * Int.random(in: 0..<20, using: &random) + 1)
        switch Int.random(in: 0..<24, using: &random) {
        case 0..<7: return ClientBytes.headers(stream, ends: Int.random(in: 0..<4, using: &random) == 0)
        case 7..<15:
            let length = Int.random(in: 200..<2_000, using: &random)
            // Whole, or cut off in the frame; with the rest, or a part of it, in the next.
            let first = Bool.random(using: &random) ? length : Int.random(in: 150..<length, using: &random)
            return ClientBytes.data(
                stream, ClientBytes.message(length, first: first), ends: Int.random(in: 0..<3, using: &random) == 0)
        case 15: return ClientBytes.data(stream, [])
        case 16: return ClientBytes.frame(1, 0, stream, [1, 2, 3]) + ClientBytes.frame(9, 4, stream, [4])
        case 17:
            return ClientBytes.frame(1, 0, stream, [1]) + ClientBytes.frame(9, 0, stream, [2])
                + ClientBytes.frame(9, 4, stream)
        case 18: return ClientBytes.frame(6, 0, 0, [UInt8](repeating: 0, count: 8))
        case 19: return ClientBytes.reset(stream)
        case 20: return ClientBytes.acknowledgement
        case 21: return ClientBytes.frame(4, 0, 0)
        case 22: return ClientBytes.frame(2, 0, stream, [0, 0, 0, 0, 1])
        default: return ClientBytes.windowUpdate(0, by: 70_000)
        }
    }
}
