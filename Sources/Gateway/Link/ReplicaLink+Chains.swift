internal import GRPC
internal import Locks
internal import WatcherLink

/// Calls that handlers make to other functions.
extension ReplicaLink {
    /// So many may be under way for one replica.
    private static let callsOutMax = 1_024

    func callOut(_ frame: FrameReader.Frame) throws(LinkError) {
        let input = InvocationInput(ByteBuffer(reader.payload(of: frame)))
        try callOut(frame, input)
    }

    func callOut(_ frame: FrameReader.Frame, _ memory: consuming SliceMemory) throws(LinkError) {
        try callOut(frame, InvocationInput(ByteBuffer(memory)))
    }

    private func callOut(_ frame: FrameReader.Frame, _ input: consuming InvocationInput) throws(LinkError) {
        let head = try CallOutHead(head: reader.head(of: frame))
        let id = frame.header.id
        let served = served
        let parent = served.flatMap { $0.route.invocation(head.parent, of: $0.replica) }
        let call = ChainedCall(link: self, id: id, parent: parent == nil ? 0 : head.parent)
        let count = callsOut.withLock { calls in
            guard calls[id] == nil else { return -1 }
            if calls.count < Self.callsOutMax { calls[id] = call }
            return calls.count
        }
        guard count >= 0 else { throw .unexpected(.callOut, "has the id of one that is under way") }
        let context = context(of: head, parent: parent, route: served?.route)
        guard callsOut.withLock({ $0[id] }) != nil else {
            send(.tooManyCallsOut(served?.route.name ?? "", limit: Self.callsOutMax), for: id)
            return
        }
        // Its caller has left: nobody would read the answer.
        if let parent, parent.isAnswered {
            call.fail(.cancelled(executed: .no), context)
            return
        }
        call.admitted(invoker.invoke(head.service, input, context, call))
    }

    private func context(of head: CallOutHead, parent: Invocation?, route: FunctionRoute?) -> InvocationContext {
        // The names of the request are its caller's; what the handler adds is its own.
        var metadata = RequestMetadata(
            requestID: parent?.requestID, traceParent: parent?.context.metadata.traceParent)
        for pair in head.metadata { metadata.add(pair.key, pair.value) }
        metadata.complete()
        let now = MonotonicTime.now
        var deadline = parent?.deadline ?? .never
        if head.timeoutMicros > 0 {
            deadline = min(deadline, now.advanced(by: .microseconds(Int64(clamping: head.timeoutMicros))))
        }
        var path: [FunctionRoute] = []
        if let parent, let route { path = parent.context.path + [route] }
        return InvocationContext(metadata: metadata, arrived: now, deadline: deadline, path: path)
    }

    /// The handler does not wait for this call any more.
    func cancelCallOut(_ id: UInt64) {
        callsOut.withLock { $0.removeValue(forKey: id) }?.cancel()
    }

    /// Nobody waits for a call, so nobody waits for those that it made.
    func cancelCallsOut(of parent: UInt64) {
        let calls = callsOut.withLock { calls in calls.values.filter { $0.parent == parent } }
        for call in calls { call.cancel() }
    }

    /// The watcher is gone.
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

    func answer(_ id: UInt64, _ failure: CallFailure) {
        guard callsOut.withLock({ $0.removeValue(forKey: id) }) != nil else { return }
        send(failure, for: id)
    }

    private func send(_ failure: CallFailure, for id: UInt64) {
        let head = CallReplyHead(
            code: UInt8(failure.code.rawValue), executed: failure.executed, message: failure.message)
        writer.send { $0.append(.callReply, id: id, head: head.head) }
    }
}
