internal import GRPC
internal import Locks
internal import Synchronization
internal import WatcherLink

/// One call of a function, from its arrival to its answer. It knows nothing of the protocol that carried it: the answer
/// goes to its responder, once, whoever is first to have one.
package final class Invocation: @unchecked Sendable {
    // @unchecked: `input` is written at the start and dropped by whoever wins `isAnswered`'s exchange or has written it
    // out; `place` belongs to the route's lock.

    /// Where the call is; guarded by the lock of the route that has it.
    enum Place {
        case nowhere
        case queued
        case sent(ReplicaSlots, id: UInt64)
    }

    let responder: any InvocationResponder
    /// Immutable; shared by the writer, which may still be at it when the call is answered.
    let input: InvocationInput
    let context: InvocationContext
    /// The caller's, or that of `timeout.call`, whichever is earlier.
    private(set) var deadline: MonotonicTime

    /// Whether the caller named the version: such a call never goes to another. Set before it is admitted.
    package var namesVersion = false
    var place = Place.nowhere
    /// The route that it was handed to, when that is not the one it came to.
    let movedTo = Lock<FunctionRoute?>(nil)
    /// Whether the responder was asked to watch for the caller's leaving.
    var isWatched = false
    private let answered = Atomic<Bool>(false)

    package init(responder: any InvocationResponder, input: consuming InvocationInput, context: InvocationContext) {
        self.responder = responder
        self.input = input
        self.context = context
        deadline = context.deadline
    }

    package var requestID: String { context.metadata.requestID }
    /// Encoded pairs of the caller's metadata, as a Call frame has them: a count, then strings.
    var metadata: [UInt8] { context.metadata.encoded }
    var wantsText: Bool { context.wantsText }
    var wantsPieces: Bool { context.wantsPieces }
    var arrived: MonotonicTime { context.arrived }

    var isAnswered: Bool { answered.load(ordering: .acquiring) }

    /// Before the call is admitted: no later than `timeout` nanoseconds after its arrival.
    func limit(to timeout: Int64) {
        let (end, overflow) = arrived.nanoseconds.addingReportingOverflow(timeout)
        if !overflow, end < deadline.nanoseconds { deadline = MonotonicTime(nanoseconds: end) }
    }

    /// - Returns: whether this was the answer.
    @discardableResult
    func fail(_ failure: CallFailure) -> Bool {
        assertNoLockIsHeld()
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        responder.fail(failure, context)
        return true
    }

    @discardableResult
    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata = ReplyMetadata()) -> Bool {
        assertNoLockIsHeld()
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        responder.reply(output, metadata, context)
        return true
    }

    /// A piece of the reply, on the links' thread; dropped when the call is answered.
    func piece(_ output: consuming InvocationOutput, from source: ReplyStream) {
        assertNoLockIsHeld()
        guard !isAnswered else { return }
        responder.piece(output, from: source)
    }

    /// The last piece has come.
    func end(_ metadata: ReplyMetadata) {
        assertNoLockIsHeld()
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return }
        responder.end(metadata, context)
    }
}
