internal import Calls
internal import NIOCore
internal import Platform
internal import Synchronization

/// The body of a request as it was received: the storage of a call's input. Constant.
final class HTTPInput: InputStorage {
    private let pieces: [ByteBuffer]
    private let room: BodyRoom

    init(_ body: ReceivedBody, _ room: BodyRoom) {
        pieces = body.pieces
        self.room = room
    }

    var segmentCount: Int { pieces.count }

    func segment(_ index: Int) -> UnsafeRawBufferPointer {
        // The memory lives as long as the buffer, and the buffer as long as this object; nothing changes it.
        pieces[index].withUnsafeReadableBytesWithStorageManagement { bytes, _ in bytes }
    }
}

/// The part of a body that has come.
struct ReceivedBody {
    /// A piece that is smaller is copied. A piece keeps all the memory that it was read into, so a body that comes byte
    /// by byte would hold thousands of times its size.
    private static let smallBytes = 8 << 10
    /// Nothing more is copied behind a piece that has this many bytes.
    private static let fullBytes = 64 << 10

    private(set) var pieces: [ByteBuffer] = []
    private(set) var count = 0

    mutating func append(_ piece: ByteBuffer) {
        let length = piece.readableBytes
        guard length > 0 else { return }
        count += length
        guard length < Self.smallBytes else { return pieces.append(piece) }
        if let last = pieces.indices.last, pieces[last].readableBytes < Self.fullBytes {
            pieces[last].writeImmutableBuffer(piece)
        } else {
            pieces.append(ByteBuffer(bytes: piece.readableBytesView))
        }
    }
}

/// The room that one body has taken in the memory for bodies. It is given back when the body is freed, perhaps while a
/// lock is held.
final class BodyRoom: Sendable {
    private let budget: ByteBudget
    private let bytes = Atomic<Int>(0)

    /// The most bytes of all bodies together.
    var limit: Int { budget.limit }

    init(_ budget: ByteBudget) {
        self.budget = budget
    }

    deinit {
        budget.release(bytes.load(ordering: .relaxed))
    }

    /// Takes room for more bytes of the body; false when there is none. One task may do so.
    func take(_ count: Int) -> Bool {
        guard budget.reserve(count, held: bytes.load(ordering: .relaxed)) else { return false }
        bytes.add(count, ordering: .relaxed)
        return true
    }
}
