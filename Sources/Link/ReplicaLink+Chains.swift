internal import Calls
internal import Platform
internal import WatcherLink

// Calls that handlers make to other functions.
extension ReplicaLink {
    /// How many such calls of one replica may be under way.
    private static let callsOutMax = 1_024

    func callOut(_ frame: FrameReader.Frame) throws(LinkError) {
        let input = InvocationInput(copying: reader.payload(of: frame))
        try callOut(frame, input)
    }

    func callOut(_ frame: FrameReader.Frame, _ memory: consuming OwnedBytes) throws(LinkError) {
        try callOut(frame, InvocationInput(memory))
    }

    private func callOut(_ frame: FrameReader.Frame, _ input: InvocationInput) throws(LinkError) {
        let head = try CallOutHead(head: reader.head(of: frame))
        let id = frame.header.id
        let served = served
        let parent = served.flatMap { $0.route.invocation(head.parent, of: $0.replica) }
        let call = ChainedCall(link: self, id: id, parent: parent == nil ? 0 : head.parent)
        let count = callsOut.withLock { calls -> Int? in
            guard calls[id] == nil else { return nil }
            calls[id] = call
            return calls.count
        }
        guard let count else { throw .unexpected(.callOut, "has the id of one that is under way") }
        let context = context(of: head, parent: parent, route: served?.route)
        if count > Self.callsOutMax {
            let failure = CallFailure.tooManyCallsOut(served?.route.name ?? "", limit: Self.callsOutMax)
            invoker.refuse(failure, function: head.function, context, call)
        } else if let parent, parent.isAnswered {
            // The caller of the handler's call has left: the answer would be of no use.
            invoker.refuse(.cancelled(executed: .no), function: head.function, context, call)
        } else {
            call.admitted(invoker.invoke(head.function, input, context, call))
        }
    }

    private func context(of head: CallOutHead, parent: Invocation?, route: FunctionRoute?) -> InvocationContext {
        // The request's id and trace are those of the call that the handler works on; the other metadata is the
        // handler's.
        var metadata = RequestMetadata(
            requestID: parent?.context.requestID, traceParent: parent?.context.metadata.traceParent)
        for pair in head.metadata { metadata.add(pair.key, pair.value) }
        metadata.complete()
        let now = MonotonicTime.now
        var deadline = parent?.deadline ?? .never
        if head.timeoutMicros > 0 {
            deadline = min(deadline, now.advanced(by: .microseconds(Int64(clamping: head.timeoutMicros))))
        }
        var path: [FunctionRoute] = []
        if let parent, let route { path = parent.context.path + [route] }
        return InvocationContext(metadata: metadata, arrived: now, deadline: deadline, path: path, isFromHandler: true)
    }

    /// Cancels a call that the handler does not wait for any more.
    func cancelCallOut(_ id: UInt64) {
        callsOut.withLock { $0.removeValue(forKey: id) }?.cancel()
    }

    /// Cancels the calls that the handler of `parent` has made: the caller of `parent` has left.
    func cancelCallsOut(of parent: UInt64) {
        let calls = callsOut.withLock { calls in calls.values.filter { $0.parent == parent } }
        for call in calls { call.cancel() }
    }

    /// Cancels all calls of the handler: the link has ended.
    func cancelCallsOut() {
        let calls = callsOut.withLock { calls in
            defer { calls = [:] }
            return Array(calls.values)
        }
        for call in calls { call.cancel() }
    }

    /// Gives the reply of another function to the handler that called it.
    func answer(_ id: UInt64, _ output: borrowing InvocationOutput) {
        guard callsOut.withLock({ $0.removeValue(forKey: id) }) != nil else { return }
        let head = CallReplyHead(code: 0, executed: .yes, message: "")
        let flags: FrameFlags = output.isText ? .text : .none
        let bytes = output.bytes
        writer.send { $0.append(.callReply, flags: flags, id: id, head: head.head, payload: bytes) }
    }

    /// Gives the failure of a call to the handler that made it.
    func answer(_ id: UInt64, _ failure: CallFailure) {
        guard callsOut.withLock({ $0.removeValue(forKey: id) }) != nil else { return }
        let head = CallReplyHead(
            code: UInt8(failure.code.rawValue), executed: ErrorHead.Executed(failure.executed), message: failure.message
        )
        writer.send { $0.append(.callReply, id: id, head: head.head) }
    }
}

/// A call that a handler makes to another function: gives the answer back over the link. Any thread may use it.
final class ChainedCall: InvocationResponder {
    private struct State {
        var handle: CallHandle?
        var isCancelled = false
        var isAnswered = false
    }

    private let link: ReplicaLink
    private let id: UInt64
    /// The id of the call that the handler works on; 0 when there is none.
    let parent: UInt64
    private let state = Lock(State())

    init(link: ReplicaLink, id: UInt64, parent: UInt64) {
        self.link = link
        self.id = id
        self.parent = parent
    }

    /// Stores the handle of the call; nil when the call was refused.
    func admitted(_ call: CallHandle?) {
        let isCancelled = state.withLock { state in
            // The call refers to this as its responder. Once it is answered, neither may keep the other alive.
            if !state.isAnswered { state.handle = call }
            return state.isCancelled
        }
        if isCancelled { call?.cancel() }
    }

    /// Cancels the call: the handler does not wait for it any more.
    func cancel() {
        let call = state.withLock { state in
            state.isCancelled = true
            return state.handle
        }
        call?.cancel()
    }

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) {
        link.answer(id, output)
        answered()
    }

    func fail(_ failure: CallFailure) {
        link.answer(id, failure)
        answered()
    }

    private func answered() {
        state.withLock { state in
            state.isAnswered = true
            state.handle = nil
        }
    }
}
