internal import GRPC
internal import GatewayProtocol
internal import Locks

/// One `Invokes` stream: requests one after another, the next read ahead while one runs and not begun.
///
/// Each request is answered by one message with `Last`, or, where the handler yields, by one message for each piece as
/// it is made, and then one without output and with `Last`. A request that fails ends the stream with its status.
///
/// No task: what happens, on threads of the queue, of the links and of the sweeper, changes the state under the lock,
/// and whoever changed it does what is next to be done.
final class InvokesStream: StreamingCallHandler, InvocationResponder {
    /// Pieces of one reply that may wait for a caller who reads slowly. Their bytes are bounded by the credit that the
    /// watcher has; this bounds those that are all but empty.
    private static let waitingMax = 1 << 17

    private struct State {
        /// The next request, read ahead.
        var next: HeldMessage?
        /// The room that was taken for it.
        var nextRoom: InputRoom?
        var isReading = false
        /// The client has sent all its requests.
        var isHalfClosed = false
        /// Requests begun.
        var begun: UInt64 = 0
        /// A request was begun, and its reply has not ended.
        var isRunning = false
        /// The same request, once it is known.
        var admitted: AdmittedCall?
        /// The gate has let the request in; it stays in until its reply is sent.
        var isInside = false
        var waiting = MessageQueue()
        var isSending = false
        /// What the message under way is worth to the one who made it.
        var credit = 0
        /// The same message, as it was counted.
        var counted: SentBytes?
        var source: ReplyStream?
        /// How the stream ends, when what waits has been sent.
        var status: Status?
        /// Of the last reply.
        var metadata = ReplyMetadata()
        var isDraining = false
        var hasCallerLeft = false
        var isFinished = false
    }

    /// What is next to be done, outside the lock.
    private enum Step {
        case nothing
        case send(HeldMessage, more: Bool)
        case begin(HeldMessage, InputRoom?)
        case finish(Status, ReplyMetadata, unsent: [SentBytes], InputRoom?)
    }

    private let call: StreamingCall
    private let metadata: RequestMetadata
    private let invoker: Invoker
    private let gate: CallGate
    private let onEnd: @Sendable (InvokesStream) -> Void
    private let state = Lock(State())

    /// - Parameter onEnd: the stream has ended.
    init(
        _ call: StreamingCall, invoker: Invoker, gate: CallGate, onEnd: @escaping @Sendable (InvokesStream) -> Void
    ) {
        self.call = call
        self.invoker = invoker
        self.gate = gate
        self.onEnd = onEnd
        metadata = RequestMetadata(call)
    }

    /// The stream ends after the request that it is at, or at once.
    func drain() {
        perform { $0.isDraining = true }
    }

    // MARK: StreamingCallHandler

    func begin() {
        var requestID = metadata.requestID
        requestID.withUTF8 { call.addInitial(RequestMetadata.requestIDKey, UnsafeRawBufferPointer($0)) }
        metadata.withTraceParent { call.addInitial(RequestMetadata.traceParentKey, $0) }
        perform { $0.isDraining = !gate.isOpen }
        read()
    }

    func received(_ message: consuming ByteBuffer?) {
        var request: HeldMessage?
        var room: InputRoom?
        if let message {
            // What is read ahead waits here, however large it is.
            if message.count > ByteBudget.smallBytes { room = call.takeRoom(message.count) }
            if message.count <= ByteBudget.smallBytes || room != nil {
                request = HeldMessage(message)
            } else {
                request = HeldMessage(MessageRefusal.noRoom(bytes: message.count).message)
            }
        }
        perform { state in
            state.isReading = false
            guard !state.isFinished else { return }
            swap(&room, &state.nextRoom)
            if let request { state.next = request } else { state.isHalfClosed = true }
        }
        room?.giveBack()
    }

    func sent(success: Bool) {
        var credit = 0
        var source: ReplyStream?
        var left: AdmittedCall?
        var counted: SentBytes?
        perform { state in
            state.isSending = false
            swap(&counted, &state.counted)
            credit = state.credit
            state.credit = 0
            if success {
                source = state.source
            } else {
                state.hasCallerLeft = true
                left = state.admitted
            }
        }
        if let counted { call.uncount(counted, isSent: success) }
        if credit > 0 { source?.taken(credit) }
        left?.callerLeft()
    }

    func closed(cancelled: Bool) {
        guard cancelled else { return }
        var left: AdmittedCall?
        perform { state in
            state.hasCallerLeft = true
            left = state.admitted
        }
        left?.callerLeft()
    }

    // MARK: InvocationResponder

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata, _ context: InvocationContext) {
        send(output, isLast: true, metadata: metadata)
    }

    func piece(_ output: consuming InvocationOutput, from source: ReplyStream) {
        send(output, isLast: false, from: source)
    }

    func end(_ metadata: ReplyMetadata, _ context: InvocationContext) {
        send(.empty, isLast: true, metadata: metadata)
    }

    func fail(_ failure: CallFailure, _ context: InvocationContext) {
        perform { state in end(with: failure, &state) }
    }

    private func end(with failure: CallFailure, _ state: inout State) {
        guard state.isRunning else { return }
        state.isRunning = false
        state.admitted = nil
        state.status = failure.status
        state.metadata = failure.metadata
    }

    /// The call is watched from its beginning.
    func watchClose(_ body: @escaping @Sendable () -> Void) {}

    // MARK: What is next

    /// Sends a message of the reply, now or when those before it are sent.
    private func send(
        _ output: consuming InvocationOutput, isLast: Bool, from source: ReplyStream? = nil,
        metadata: ReplyMetadata = ReplyMetadata()
    ) {
        enum Outcome {
            case now(ReplySuffix)
            case later
            case dropped
            case tooMany(AdmittedCall?)
        }
        guard let counted = call.count(output.count) else {
            refuse(isLast: isLast, from: source)
            return
        }
        let credit = source == nil ? 0 : output.count
        var slot: InvocationOutput? = output
        let outcome = state.withLock { state -> Outcome in
            guard state.isRunning else { return .dropped }
            let suffix = ReplySuffix(request: state.begun - 1, isLast: isLast)
            if isLast {
                state.isRunning = false
                state.admitted = nil
                state.metadata = metadata
            } else {
                state.source = source
            }
            guard state.isSending else {
                state.isSending = true
                state.credit = credit
                state.counted = counted
                return .now(suffix)
            }
            guard isLast || state.waiting.count < Self.waitingMax else { return .tooMany(state.admitted) }
            if let output = slot.take() { state.waiting.append(output, suffix, credit: credit, counted: counted) }
            return .later
        }
        switch outcome {
        case .now(let suffix):
            if let output = slot.take(), !call.send(output.message(suffix)) { sent(success: false) }
        case .later: break
        case .dropped: call.uncount(counted, isSent: false)
        case .tooMany(let admitted):
            call.uncount(counted, isSent: false)
            admitted?.invocation.fail(.tooManyPieces(limit: Self.waitingMax))
            source?.cancel()
        }
    }

    /// A message of the reply has no room: the stream ends.
    private func refuse(isLast: Bool, from source: ReplyStream?) {
        let failure = CallFailure.repliesNotTaken(call.repliesNotTaken)
        if isLast {
            perform { state in end(with: failure, &state) }
        } else {
            state.withLock { $0.admitted }?.invocation.fail(failure)
            source?.cancel()
        }
    }

    /// Changes the state, and does what is to be done then.
    private func perform(_ change: (inout State) -> Void) {
        let step = state.withLock { state in
            change(&state)
            return next(&state)
        }
        switch step {
        case .nothing: break
        case .send(let message, let more):
            if let message = message.take(), !call.send(message, more: more) { sent(success: false) }
        case .begin(let message, let room):
            room?.giveBack()
            begin(message)
        case .finish(let status, let metadata, let unsent, let room):
            for counted in unsent { call.uncount(counted, isSent: false) }
            room?.giveBack()
            call.addTrailers(self.metadata)
            call.addTrailers(metadata)
            call.finish(status)
            onEnd(self)
        }
    }

    private func next(_ state: inout State) -> Step {
        guard !state.isFinished, !state.isSending else { return .nothing }
        if state.hasCallerLeft { return finish(Status(.cancelled, "the caller has left"), &state) }
        if let (message, credit, counted) = state.waiting.popFirst() {
            state.isSending = true
            state.credit = credit
            state.counted = counted
            return .send(message, more: !state.waiting.isEmpty)
        }
        if let status = state.status { return finish(status, &state) }
        guard !state.isRunning else { return .nothing }
        leaveGate(&state)
        guard let request = state.next else {
            if state.isHalfClosed { return finish(.ok, &state) }
            return state.isDraining ? finish(CallFailure.draining.status, &state) : .nothing
        }
        guard gate.enter() else { return finish(CallFailure.draining.status, &state) }
        state.isInside = true
        state.next = nil
        state.source = nil
        state.isRunning = true
        state.begun += 1
        defer { state.nextRoom = nil }
        return .begin(request, state.nextRoom)
    }

    private func finish(_ status: Status, _ state: inout State) -> Step {
        leaveGate(&state)
        state.isFinished = true
        state.isRunning = false
        state.admitted = nil
        state.source = nil
        state.next = nil
        defer { state.nextRoom = nil }
        return .finish(status, state.metadata, unsent: state.waiting.removeAll(), state.nextRoom)
    }

    private func leaveGate(_ state: inout State) {
        if state.isInside { gate.leave() }
        state.isInside = false
    }

    private func begin(_ request: HeldMessage) {
        let context = InvocationContext(
            metadata: metadata, arrived: .now, deadline: call.deadline, wantsPieces: true)
        guard let message = request.take() else {
            fail(.malformedRequest(GatewayMethod.invokes), context)
            return
        }
        guard !message.isCompressed, let scan = InvokeRequestScan(message) else {
            fail(message.refusal.map { .refused($0) } ?? .malformedRequest(GatewayMethod.invokes), context)
            return
        }
        let admitted = invoker.invoke(
            scan.service, InvocationInput(message: message, offset: scan.inputOffset, count: scan.inputCount), context,
            self)
        let hasLeft = state.withLock { state in
            // Still about the same request: the next is not read before the end of this.
            if state.isRunning { state.admitted = admitted }
            return state.hasCallerLeft
        }
        if hasLeft { admitted?.callerLeft() }
        read()
    }

    /// Asks for the next request.
    private func read() {
        let mayRead = state.withLock { state in
            guard !state.isReading, !state.isHalfClosed, !state.isFinished else { return false }
            state.isReading = true
            return true
        }
        if mayRead { call.receive() }
    }
}
