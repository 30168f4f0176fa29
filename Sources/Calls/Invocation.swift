package import Platform
internal import Synchronization

/// One call inside the gateway, from its admission to its answer. It knows nothing of the protocol that carried it.
///
/// Its responder gets exactly one answer: the first answer wins. Any thread may answer.
package final class Invocation: @unchecked Sendable {
    // @unchecked: `answerBy` is written before the call is admitted; `position`, `isAdmitted` and `isWatched` belong to
    // the lock of the route that has the call. The rest is constant or atomic.

    /// Where the call is. Guarded by the lock of the route that has it.
    enum Position {
        case nowhere
        case queued
        case sent(ReplicaSlots, id: UInt64)
    }

    let responder: any InvocationResponder
    /// Constant. The channel shares it, and may still read it when the call is answered.
    package let input: InvocationInput
    package let context: InvocationContext
    /// The route that the call came to.
    private let route: FunctionRoute
    private let gate: CallGate
    /// The value of `deadline`. It is private, because Swift checks each access of a variable that other modules see.
    private var answerBy: MonotonicTime

    /// Whether the caller named the version. Such a call never goes to another version.
    let namesVersion: Bool
    var position = Position.nowhere
    /// The route that the call was handed to; nil while it is with the route that it came to.
    let movedTo = Lock<FunctionRoute?>(nil)
    /// Whether the call got a place in its route's queue or at a replica. The route that admits the call writes this.
    var isAdmitted = false
    /// Whether the responder was asked to tell when the caller leaves.
    var isWatched = false
    private let answered = Atomic<Bool>(false)
    /// When the call was sent to the replica that had it last, in nanoseconds; 0 before.
    private let sent = Atomic<Int64>(0)
    /// The bytes of all pieces so far.
    private let pieceBytes = Atomic<Int>(0)

    /// - Parameters:
    ///   - gate: is told of the end. It has let the call in, unless a handler makes the call.
    ///   - namesVersion: whether the caller named the version.
    package init(
        of route: FunctionRoute, _ input: InvocationInput, _ context: InvocationContext,
        _ responder: any InvocationResponder, gate: CallGate, namesVersion: Bool = false
    ) {
        self.route = route
        self.input = input
        self.context = context
        self.responder = responder
        self.gate = gate
        self.namesVersion = namesVersion
        answerBy = context.deadline
    }

    package var isAnswered: Bool { answered.load(ordering: .acquiring) }
    var arrived: MonotonicTime { context.arrived }
    /// The caller's deadline or the end of `timeout.call`, whichever is earlier.
    package var deadline: MonotonicTime { answerBy }

    /// Sets the deadline no later than `timeout` nanoseconds after the call's arrival. Only before the call is
    /// admitted.
    func limit(to timeout: Int64) {
        let (end, overflow) = arrived.nanoseconds.addingReportingOverflow(timeout)
        if !overflow, end < answerBy.nanoseconds { answerBy = MonotonicTime(nanoseconds: end) }
    }

    /// Notes that a replica has the call from now on.
    func sent(at now: MonotonicTime) {
        sent.store(now.nanoseconds, ordering: .relaxed)
    }

    /// Ends the call without a reply.
    ///
    /// - Returns: whether this was the answer.
    @discardableResult
    package func fail(_ failure: CallFailure) -> Bool {
        assertNoLockIsHeld()
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        end(with: failure)
        return true
    }

    private func end(with failure: CallFailure) {
        tell(failure.code, failure.executed, bytes: pieceBytes.load(ordering: .relaxed))
        responder.fail(failure)
        leaveGate()
    }

    /// Ends the call with the handler's whole reply, or with a failure where the front has no room for the reply.
    ///
    /// - Returns: whether this was the answer.
    @discardableResult
    package func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata = ReplyMetadata()) -> Bool {
        assertNoLockIsHeld()
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        if let failure = responder.takeRoom(for: output.count) {
            end(with: failure)
            return true
        }
        tell(.ok, .yes, bytes: output.count)
        responder.reply(output, metadata)
        leaveGate()
        return true
    }

    /// Passes on one piece of the reply, from one thread at a time. The piece is dropped when the call is answered.
    /// Where the front has no room for the piece, the call ends.
    package func piece(_ output: consuming InvocationOutput, from source: any PieceSource) {
        assertNoLockIsHeld()
        guard !isAnswered else { return }
        if let failure = responder.takeRoom(for: output.count) {
            fail(failure)
            source.cancel()
            return
        }
        pieceBytes.add(output.count, ordering: .relaxed)
        responder.piece(output, from: source)
    }

    /// Ends a reply in pieces: the last piece has come.
    package func end(_ metadata: ReplyMetadata) {
        assertNoLockIsHeld()
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return }
        tell(.ok, .yes, bytes: pieceBytes.load(ordering: .relaxed))
        responder.end(metadata)
        leaveGate()
    }

    /// A call that a handler makes is not inside.
    private func leaveGate() {
        if !context.isFromHandler { gate.leave() }
    }

    /// Tells the gate how the call ends.
    private func tell(_ code: StatusCode, _ executed: CallFailure.Executed, bytes: Int) {
        let sent = sent.load(ordering: .relaxed)
        let last = movedTo.withLock { $0 } ?? route
        gate.ended(
            CallOutcome(
                function: last.name, route: last, isAdmitted: isAdmitted, code: code, executed: executed,
                context: context, sent: sent == 0 ? nil : MonotonicTime(nanoseconds: sent), ended: .now,
                bytesIn: input.count, bytesOut: bytes))
    }
}

/// The memory in which the input of a call lies, in one segment or in several: for example a message as it was
/// received.
///
/// The input keeps its storage alive, so the storage must not hold anything that should be freed before the call ends.
/// Any thread may read it.
package protocol InputStorage: AnyObject, Sendable {
    var segmentCount: Int { get }
    /// The bytes of one segment, valid as long as the storage.
    func segment(_ index: Int) -> UnsafeRawBufferPointer
}

/// The input of a call: a part of the memory in which it was received. Nothing copies it before it is written to a
/// replica.
package struct InvocationInput: Sendable {
    private let storage: any InputStorage
    private let offset: Int
    package let count: Int

    /// - Parameters:
    ///   - storage: is kept as long as the input.
    ///   - offset: where the input begins in the storage.
    ///   - count: how many bytes the input has.
    package init(_ storage: any InputStorage, offset: Int, count: Int) {
        self.storage = storage
        self.offset = offset
        self.count = count
    }

    /// A copy of `bytes`.
    package init(copying bytes: UnsafeRawBufferPointer) {
        let memory = OwnedBytes(count: bytes.count)
        memory.bytes.copyMemory(from: bytes)
        self.init(memory)
    }

    /// An input that is all of `memory`.
    package init(_ memory: consuming OwnedBytes) {
        let count = memory.count
        self.init(OwnedInput(memory), offset: 0, count: count)
    }

    /// Calls `body` with each piece of the input from byte `start` on, in order, until it returns false.
    package func forEachPiece(from start: Int = 0, _ body: (UnsafeRawBufferPointer) -> Bool) {
        var skip = offset + start
        var left = count - start
        var index = 0
        let segments = storage.segmentCount
        while left > 0, index < segments {
            let segment = storage.segment(index)
            index += 1
            if skip >= segment.count {
                skip -= segment.count
                continue
            }
            let length = min(segment.count - skip, left)
            guard body(UnsafeRawBufferPointer(rebasing: segment[skip..<skip + length])) else { return }
            skip = 0
            left -= length
        }
    }
}

/// The storage of an input that has its own memory.
private final class OwnedInput: InputStorage {
    private let memory: OwnedBytes

    init(_ memory: consuming OwnedBytes) {
        self.memory = memory
    }

    var segmentCount: Int { 1 }
    func segment(_ index: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory.bytes) }
}

/// A handler's reply, or one piece of it, as it was read. It knows nothing of the protocol that will carry it.
package struct InvocationOutput: ~Copyable {
    /// The bytes, valid as long as the output and no longer than the call of the responder's method that got it. A
    /// front that needs them afterwards copies them, or takes the memory.
    package let bytes: UnsafeRawBufferPointer
    /// Whether the bytes are known to be valid UTF-8.
    package let isText: Bool
    /// Whether `takeMemory` returns memory.
    package let isOwned: Bool
    /// The memory of a large output, which need not be copied.
    private let memory: OwnedBytes?

    /// An output of bytes that belong to its maker.
    package init(borrowing bytes: UnsafeRawBufferPointer, isText: Bool = false) {
        self.bytes = bytes
        self.isText = isText
        isOwned = false
        memory = nil
    }

    /// An output that is all of `memory`.
    package init(owning memory: consuming OwnedBytes, isText: Bool = false) {
        bytes = UnsafeRawBufferPointer(memory.bytes)
        self.isText = isText
        isOwned = true
        self.memory = consume memory
    }

    /// An output without bytes.
    package static var empty: InvocationOutput {
        InvocationOutput(borrowing: UnsafeRawBufferPointer(start: nil, count: 0), isText: true)
    }

    package var count: Int { bytes.count }

    /// The memory in which the bytes lie; nil when they must be copied.
    package consuming func takeMemory() -> OwnedBytes? { memory }
}
