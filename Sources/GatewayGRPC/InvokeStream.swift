internal import Calls
internal import GatewayProtocol
internal import GRPC
internal import Platform
internal import Synchronization

/// One stream of `Invokes`: its requests run one after another. While one runs, the next is read ahead and not begun.
///
/// Each request is answered by one message with `Last`. Where the handler yields, each piece is one message, followed
/// by a message without output and with `Last`. A request that fails ends the stream with its status.
///
/// It uses no task. Events come on threads of the queue, of the links and of the sweeper. Each changes the state under
/// the lock, and then the same thread does the next step. Pieces wait in two places: those that have come under the
/// lock, and a batch of them that is being sent, without it. So the thread that reads pieces and the one that sends them
/// seldom meet.
final class InvokeStream: StreamingCallHandler, InvocationResponder {
    /// How many pieces of a reply may wait for a caller that reads slowly. The watcher's credit bounds their bytes;
    /// this bounds pieces that are almost empty.
    private static let waitingMax = 1 << 17

    private struct State {
        /// The next request, read ahead.
        var next: HeldMessage?
        /// The room that was reserved for it.
        var nextRoom: InputRoom?
        var isReading = false
        /// Whether the client has sent all its requests.
        var isHalfClosed = false
        /// How many requests were begun.
        var begun: UInt64 = 0
        /// Whether a request was begun and its reply has not ended.
        var isRunning = false
        /// The handle of that request, once there is one.
        var handle: CallHandle?
        /// Whether the gate is held, from the end of the request until its reply is sent.
        var isHeld = false
        var waiting = MessageQueue()
        var isSending = false
        var source: (any PieceSource)?
        /// How the stream ends once all waiting messages are sent.
        var status: Status?
        /// The handler's metadata of the last reply.
        var metadata = ReplyMetadata()
        var isDraining = false
        var hasCallerLeft = false
        var isFinished = false
    }

    /// The messages that are being sent. The thread that has set `isSending` uses it, and after it the one that learns
    /// that the message was sent.
    private struct Outgoing {
        /// The credit for the current message, in bytes.
        var credit = 0
        /// The count of that message.
        var counted: SentBytes?
        /// Gets the credit.
        var source: (any PieceSource)?
        /// The messages after it.
        var queue = MessageQueue()

        /// Goes on to the next message; nil where there is none.
        mutating func next() -> HeldMessage? {
            guard let (message, credit, counted) = queue.popFirst() else { return nil }
            self.credit = credit
            self.counted = counted
            return message
        }
    }

    /// The next step, which is done without the lock.
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
    private let onEnd: @Sendable (InvokeStream) -> Void
    private let state = Lock(State())
    @exclusivity(unchecked) private nonisolated(unsafe) var outgoing = Outgoing()
    /// How many messages wait, in both places.
    private let waitingCount = Atomic<Int>(0)
    /// The count of the message that follows at once on the same thread.
    @exclusivity(unchecked) private nonisolated(unsafe) var room: SentBytes?

    /// - Parameter onEnd: called when the stream has ended.
    init(
        _ call: StreamingCall, invoker: Invoker, gate: CallGate, onEnd: @escaping @Sendable (InvokeStream) -> Void
    ) {
        self.call = call
        self.invoker = invoker
        self.gate = gate
        self.onEnd = onEnd
        metadata = RequestMetadata(call)
    }

    /// Ends the stream after its current request, or at once where there is none.
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
            // A request that is read ahead waits here, whatever its size.
            if message.count > ByteBudget.smallBytes { room = call.reserveRoom(message.count) }
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
        // Once the next message is given to the core, another thread may use `outgoing`.
        let (credit, counted, source) = (outgoing.credit, outgoing.counted, outgoing.source)
        outgoing.counted = nil
        if success, let message = outgoing.next() {
            waitingCount.subtract(1, ordering: .relaxed)
            send(message, more: !outgoing.queue.isEmpty)
        } else {
            endSending(success: success)
        }
        if let counted { call.uncount(counted, isSent: success) }
        if success, credit > 0 { source?.taken(credit) }
    }

    private func endSending(success: Bool) {
        var left: CallHandle?
        let unsent = success ? [] : outgoing.queue.removeAll()
        outgoing.source = nil
        perform { state in
            state.isSending = false
            guard !success else { return }
            state.hasCallerLeft = true
            left = state.handle
        }
        for counted in unsent { call.uncount(counted, isSent: false) }
        left?.cancel()
    }

    private func send(_ message: HeldMessage, more: Bool) {
        if let message = message.take(), !call.send(message, more: more) { sent(success: false) }
    }

    func closed(cancelled: Bool) {
        guard cancelled else { return }
        var left: CallHandle?
        perform { state in
            state.hasCallerLeft = true
            left = state.handle
        }
        left?.cancel()
    }

    // MARK: InvocationResponder

    func takeRoom(for bytes: Int) -> CallFailure? {
        guard let counted = call.count(bytes) else { return .repliesNotTaken(call.repliesNotTaken) }
        room = counted
        return nil
    }

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) {
        send(output, isLast: true, metadata: metadata)
    }

    func piece(_ output: consuming InvocationOutput, from source: any PieceSource) {
        send(output, isLast: false, from: source)
    }

    func end(_ metadata: ReplyMetadata) {
        send(.empty, isLast: true, metadata: metadata)
    }

    func fail(_ failure: CallFailure) {
        perform { state in end(with: failure, &state) }
    }

    private func end(with failure: CallFailure, _ state: inout State) {
        guard state.isRunning else { return }
        endRequest(&state)
        state.status = Status(failure)
        state.metadata = failure.metadata
    }

    // MARK: The next step

    /// Sends a message of the reply, now or after those before it.
    private func send(
        _ output: consuming InvocationOutput, isLast: Bool, from source: (any PieceSource)? = nil,
        metadata: ReplyMetadata = ReplyMetadata()
    ) {
        enum Outcome {
            case now(ReplySuffix)
            case later
            case dropped(SentBytes?)
            case tooMany(CallHandle?, SentBytes?)
        }
        let credit = source == nil ? 0 : output.count
        let counted = room.take()
        var slot: InvocationOutput? = output
        let outcome = state.withLock { state -> Outcome in
            guard state.isRunning else { return .dropped(counted) }
            let suffix = ReplySuffix(request: state.begun - 1, isLast: isLast)
            if isLast {
                endRequest(&state)
                state.metadata = metadata
            } else {
                state.source = source
            }
            guard state.isSending else {
                state.isSending = true
                outgoing.credit = credit
                outgoing.counted = counted
                outgoing.source = source
                return .now(suffix)
            }
            guard isLast || waitingCount.load(ordering: .relaxed) < Self.waitingMax else {
                return .tooMany(state.handle, counted)
            }
            if let output = slot.take() {
                state.waiting.append(output, suffix, credit: credit, counted: counted)
                waitingCount.add(1, ordering: .relaxed)
            }
            return .later
        }
        switch outcome {
        case .now(let suffix):
            if let output = slot.take(), !call.send(output.message(suffix)) { sent(success: false) }
        case .later: break
        case .dropped(let counted):
            if let counted { call.uncount(counted, isSent: false) }
        case .tooMany(let handle, let counted):
            if let counted { call.uncount(counted, isSent: false) }
            handle?.fail(.tooManyPieces(limit: Self.waitingMax))
            source?.cancel()
        }
    }

    /// Changes the state, and then does the next step.
    private func perform(_ change: (inout State) -> Void) {
        let step = state.withLock { state in
            change(&state)
            return next(&state)
        }
        switch step {
        case .nothing: break
        case .send(let message, let more):
            send(message, more: more)
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
        if !state.waiting.isEmpty {
            state.isSending = true
            outgoing.source = state.source
            // What was sent has left empty memory.
            swap(&state.waiting, &outgoing.queue)
        }
        if let message = outgoing.next() {
            waitingCount.subtract(1, ordering: .relaxed)
            return .send(message, more: !outgoing.queue.isEmpty)
        }
        if let status = state.status { return finish(status, &state) }
        guard !state.isRunning else { return .nothing }
        leaveGate(&state)
        guard let request = state.next else {
            if state.isHalfClosed { return finish(.ok, &state) }
            return state.isDraining ? finish(Status(.draining), &state) : .nothing
        }
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
        state.handle = nil
        state.source = nil
        state.next = nil
        defer { state.nextRoom = nil }
        return .finish(status, state.metadata, unsent: state.waiting.removeAll(), state.nextRoom)
    }

    /// The request has its answer, and leaves the gate. Its reply is still to be sent.
    private func endRequest(_ state: inout State) {
        state.isRunning = false
        state.handle = nil
        gate.hold()
        state.isHeld = true
    }

    private func leaveGate(_ state: inout State) {
        if state.isHeld { gate.leave() }
        state.isHeld = false
    }

    private func begin(_ request: HeldMessage) {
        let context = InvocationContext(
            metadata: metadata, arrived: .now, deadline: call.deadline, wantsPieces: true)
        guard let message = request.take() else {
            return invoker.refuse(.malformedRequest(.invokes), context, self)
        }
        guard !message.isCompressed, let scan = InvokeRequestScan(message) else {
            return invoker.refuse(
                message.refusal.map { .refused($0) } ?? .malformedRequest(.invokes), context, self)
        }
        let handle = invoker.invoke(
            scan.service, InvocationInput(RequestMessage(message), offset: scan.inputOffset, count: scan.inputCount),
            context, self)
        let hasLeft = state.withLock { state in
            // It is still the same request: the next one is not begun before its end.
            if state.isRunning { state.handle = handle }
            return state.hasCallerLeft
        }
        if hasLeft { handle?.cancel() }
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

/// Serves `Invokes`: streams of calls that run one after another. Any thread may use it.
final class StreamInvokeService: Sendable {
    private let invoker: Invoker
    private let gate: CallGate
    /// The streams that have not ended.
    private let streams = Lock<[ObjectIdentifier: InvokeStream]>([:])

    init(invoker: Invoker, gate: CallGate) {
        self.invoker = invoker
        self.gate = gate
    }

    func register(on server: Server) {
        server.registerStreaming(GatewayMethod.invokes.path) { [self] call in
            let stream = InvokeStream(call, invoker: invoker, gate: gate) { [self] in
                forget($0)
            }
            streams.withLock { $0[ObjectIdentifier(stream)] = stream }
            return stream
        }
    }

    private func forget(_ stream: InvokeStream) {
        _ = streams.withLock { $0.removeValue(forKey: ObjectIdentifier(stream)) }
    }

    /// Ends each stream after its current request. The gate is closed before this.
    func drain() {
        for stream in streams.withLock({ Array($0.values) }) { stream.drain() }
    }
}
