package import GRPC
internal import Synchronization
internal import WatcherLink

/// One call of a function, from its arrival to its answer. It knows nothing of the protocol that carried it: the answer
/// goes to its responder, once, whoever is first to have one.
package final class Invocation: @unchecked Sendable {
    // @unchecked: `input` is written at the start and dropped by whoever wins `isAnswered`'s exchange or has written it
    // out; `place` belongs to the route's lock.

    /// Where the call is; guarded by its route's lock.
    enum Place {
        case nowhere
        case queued
        case sent(ReplicaSlots, id: UInt64)
    }

    let responder: any InvocationResponder
    /// Immutable; shared by the writer, which may still be at it when the call is answered.
    let input: InvocationInput
    package let requestID: String
    /// Encoded pairs of the caller's metadata, as a Call frame has them: a count, then strings.
    let metadata: [UInt8]
    /// Whether the reply must be UTF-8.
    let wantsText: Bool
    let arrived: MonotonicTime
    /// The caller's, or that of `timeout.call`, whichever is earlier.
    private(set) var deadline: MonotonicTime

    var place = Place.nowhere
    /// Whether the responder was asked to watch for the caller's leaving.
    var isWatched = false
    private let answered = Atomic<Bool>(false)

    package init(
        responder: any InvocationResponder, input: consuming InvocationInput, requestID: String, metadata: [UInt8] = [],
        wantsText: Bool, arrived: MonotonicTime, deadline: MonotonicTime
    ) {
        self.responder = responder
        self.input = input
        self.requestID = requestID
        self.metadata = metadata
        self.wantsText = wantsText
        self.arrived = arrived
        self.deadline = deadline
    }

    var isAnswered: Bool { answered.load(ordering: .acquiring) }

    /// Before the call is admitted: no later than `timeout` after its arrival.
    func limit(to timeout: Duration) {
        deadline = min(deadline, arrived.advanced(by: timeout))
    }

    /// - Returns: whether this was the answer.
    @discardableResult
    func fail(_ failure: CallFailure) -> Bool {
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        responder.fail(failure, requestID: requestID)
        return true
    }

    @discardableResult
    func reply(_ message: consuming ByteBuffer) -> Bool {
        guard !answered.exchange(true, ordering: .acquiringAndReleasing) else { return false }
        responder.reply(message, requestID: requestID)
        return true
    }
}
