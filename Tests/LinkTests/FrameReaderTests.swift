import Glibc
import Platform
import Testing
import WatcherLink

@testable import Link

/// A watcher that sends without a pause: each turn ends although there is more.
@Suite struct FrameReaderTests {
    private static let turnBytes = 1 << 20

    /// What the turns of a reader brought.
    private struct Turns {
        /// The bytes of the frames of each turn.
        var bytes: [Int] = []
        var ids: [UInt64] = []
    }

    private func reply(_ id: UInt64, bytes: Int) -> [UInt8] {
        FrameHeader.frame(.reply, id: id, head: ReplyHead().head, payload: [UInt8](repeating: 7, count: bytes))
    }

    /// Writes `frames` from another thread, and reads them to the end.
    private func read(_ frames: [[UInt8]], readsAll: Bool) throws -> Turns {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        // So that one read gets no more than the buffer of the socket has.
        var size: Int32 = 64 << 10
        setsockopt(writing, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        defer { close(reading) }
        let writer = Thread(name: "writer") {
            for frame in frames {
                var sent = 0
                while sent < frame.count {
                    let count = frame.withUnsafeBytes {
                        send(writing, $0.baseAddress.map { $0 + sent }, frame.count - sent, Int32(MSG_NOSIGNAL))
                    }
                    if count <= 0 { break }
                    sent += count
                }
            }
            close(writing)
        }
        defer { writer.join() }
        let reader = FrameReader(descriptor: reading, maxBodyBytes: 8 << 20)
        reader.trust()
        var turns = Turns()
        while true {
            reader.beginTurn(readsAll: readsAll)
            turns.bytes.append(0)
            turn: while true {
                switch try reader.next() {
                case .frame(let frame):
                    turns.ids.append(frame.header.id)
                    turns.bytes[turns.bytes.count - 1] += FrameHeader.size + frame.header.bodyLength
                case .large(let frame, let memory):
                    turns.ids.append(frame.header.id)
                    turns.bytes[turns.bytes.count - 1] += FrameHeader.size + frame.header.bodyLength
                    #expect(memory.count == frame.header.payloadLength)
                case .refill: continue
                case .nothing:
                    var entry = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
                    poll(&entry, 1, -1)
                    break turn
                case .end: return turns
                }
            }
        }
    }

    @Test func manySmallFramesTakeSeveralTurns() throws {
        let turns = try read((1...5_000).map { reply($0, bytes: 1_000) }, readsAll: false)
        #expect(turns.ids == Array(1...5_000))
        // The last read of a turn may go beyond its share: by the buffer's size.
        #expect(turns.bytes.allSatisfy { $0 <= Self.turnBytes + 128 << 10 })
        #expect(turns.bytes.count >= 5)
    }

    @Test func aLargeFrameTakesSeveralTurns() throws {
        let turns = try read((1...3).map { reply($0, bytes: 4 << 20) }, readsAll: false)
        #expect(turns.ids == [1, 2, 3])
        // 12 MiB in shares of 1 MiB and one read more.
        #expect(turns.bytes.count >= 8)
    }

    @Test func theLastTurnOfALinkReadsAll() throws {
        let turns = try read((1...3_000).map { reply($0, bytes: 1_000) }, readsAll: true)
        #expect(turns.ids == Array(1...3_000))
    }
}
