internal import Locks

/// A call that a handler makes to another function: gives the answer back over the link.
final class ChainedCall: InvocationResponder {
    private struct State {
        var admitted: AdmittedCall?
        var isCancelled = false
        var isAnswered = false
    }

    private let link: ReplicaLink
    private let id: UInt64
    /// The call that the handler works on; 0 when there is none.
    let parent: UInt64
    private let state = Lock(State())

    init(link: ReplicaLink, id: UInt64, parent: UInt64) {
        self.link = link
        self.id = id
        self.parent = parent
    }

    /// The call is on its way; nil when it was refused.
    func admitted(_ call: AdmittedCall?) {
        let isCancelled = state.withLock { state in
            // The call knows this as its responder: once it is answered, neither holds the other.
            if !state.isAnswered { state.admitted = call }
            return state.isCancelled
        }
        if isCancelled { call?.callerLeft() }
    }

    /// Nobody waits for the answer any more.
    func cancel() {
        let call = state.withLock { state in
            state.isCancelled = true
            return state.admitted
        }
        call?.callerLeft()
    }

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata, _ context: InvocationContext) {
        link.answer(id, output)
        answered()
    }

    func fail(_ failure: CallFailure, _ context: InvocationContext) {
        link.answer(id, failure)
        answered()
    }

    /// The link tells when nobody waits.
    func watchClose(_ body: @escaping @Sendable () -> Void) {}

    private func answered() {
        state.withLock { state in
            state.isAnswered = true
            state.admitted = nil
        }
    }
}
