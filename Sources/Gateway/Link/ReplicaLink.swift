internal import CLinux
internal import GRPC
internal import Glibc
internal import Locks
internal import WatcherLink

/// The link to one watcher, from its first frame to its end.
///
/// Frames may be sent from any thread. What comes is read, and answered calls are finished, on the links' one thread.
final class ReplicaLink: @unchecked Sendable {
    // @unchecked: what is not a constant belongs to the links' thread, but for `serving`, set before any call is sent.

    /// How far the link is.
    private enum Phase {
        case hello
        /// It has proved a token that nobody expects yet.
        case waiting(Hello, token: String)
        case starting(any ReplicaLinkObserver)
        case serving(any ReplicaLinkObserver)
        case ended
    }

    /// How the reason begins when the watcher broke the protocol.
    static let protocolError = "protocol error"

    let descriptor: Int32
    /// Whether it came over TCP.
    let isRemote: Bool
    /// What the watcher's Hello says that it is: a task of a cluster, or nothing. From `linkIsKnown` on.
    private(set) var task = ""
    /// In its own namespace. From `linkIsKnown` on.
    private(set) var pid: UInt32 = 0
    /// What the watcher has to code with its token; nothing on a unix socket.
    private let challenge: [UInt8]
    /// Why the gateway ends the link, if it does.
    private let verdict = Lock<String?>(nil)
    let maxBodyBytes: Int
    /// For the calls that the handler makes.
    let invoker: Invoker
    /// Whose the link is that a watcher with such a token has.
    private let redeem: (LinkClaim) -> LinkAdmission
    let writer: LinkWriter
    let reader: FrameReader
    private var phase = Phase.hello
    private let serving = Lock<(route: FunctionRoute, replica: ReplicaSlots)?>(nil)
    /// Answers read from the socket and not handed on yet.
    private var answers: [LinkAnswer] = []
    /// Room for the calls that an answer makes place for.
    private var sends: [SentCall] = []
    /// Calls whose replies come in pieces, from the first piece on.
    var streams: [UInt64: ReplyStream] = [:]
    /// What the handler has called and has no answer to.
    let callsOut = Lock<[UInt64: ChainedCall]>([:])

    init(
        descriptor: Int32, isRemote: Bool = false, maxBodyBytes: Int, invoker: Invoker,
        onBlocked: @escaping @Sendable () -> Void, redeem: @escaping (LinkClaim) -> LinkAdmission
    ) {
        self.descriptor = descriptor
        self.isRemote = isRemote
        challenge = isRemote ? LinkProof.nonce() : []
        self.maxBodyBytes = maxBodyBytes
        self.invoker = invoker
        self.redeem = redeem
        writer = LinkWriter(descriptor: descriptor, onBlocked: onBlocked)
        reader = FrameReader(descriptor: descriptor, maxBodyBytes: maxBodyBytes)
    }

    deinit {
        // Here and not earlier: a writer on another thread may still have used the number.
        Glibc.close(descriptor)
    }

    // MARK: Sending

    func send(_ invocation: Invocation, id: UInt64, at now: MonotonicTime) {
        writer.send { $0.append(invocation, id: id, at: now) }
    }

    /// - Parameter asBatch: whether the handler gets them as one list.
    func send(_ calls: [SentCall], asBatch: Bool, at now: MonotonicTime) {
        guard !calls.isEmpty else { return }
        writer.send { batch in
            if asBatch { batch.appendBatch(of: calls.count) }
            for call in calls { batch.append(call.invocation, id: call.id, at: now) }
        }
    }

    /// The watcher gives back what it has not begun.
    func recall() {
        writer.send { $0.append(.recall) }
    }

    /// Nobody waits for this call any more.
    func cancel(_ id: UInt64) {
        writer.send { $0.append(.cancel, flags: .optional, id: id) }
        cancelCallsOut(of: id)
    }

    /// The watcher finishes what it has and ends.
    func drain() {
        writer.send { $0.append(.drain) }
    }

    /// The watcher ends at once, whoever else has a link with it.
    func stop() {
        writer.send { $0.append(.stop, flags: .optional) }
    }

    /// The watcher prints where its threads are to its log.
    func printStacks() {
        writer.send { $0.append(.stacks, flags: .optional) }
    }

    /// The calls that come to `replica` from `route` are this link's from now on. Before the first of them.
    func serve(_ replica: ReplicaSlots, of route: FunctionRoute) {
        serving.withLock { $0 = (route, replica) }
    }

    /// Who the link serves; nil before it is Ready, and when its process has ended.
    var served: (route: FunctionRoute, replica: ReplicaSlots)? { serving.withLock { $0 } }

    /// Ends the link for a reason of the gateway's own, from any thread. The watcher ends itself.
    func end(_ reason: String) {
        verdict.withLock { if $0 == nil { $0 = reason } }
        shutdown()
    }

    /// Makes the links' thread see the end, from any thread.
    func shutdown() {
        Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
    }

    // MARK: On the links' thread

    /// Whether it has said whose watcher it is.
    var isKnown: Bool {
        if case .hello = phase { return false }
        return true
    }

    /// Who is told what happens on it; nil before it has said whose it is, and after its end.
    var observer: (any ReplicaLinkObserver)? {
        switch phase {
        case .hello, .waiting, .ended: nil
        case .starting(let observer), .serving(let observer): observer
        }
    }

    /// The token that it has proved, while nobody expects it.
    var awaitedToken: String? {
        if case .waiting(_, let token) = phase { return token }
        return nil
    }

    /// Says the gateway's first word, where it has it.
    func begin() {
        guard isRemote else { return }
        let head = Challenge(nonce: challenge).head
        writer.send { $0.append(.challenge, head: head) }
    }

    func writable() {
        writer.resume()
    }

    /// Reads what is there.
    ///
    /// - Returns: why the link has ended, or nil while it has not.
    func readable() -> String? {
        let end = read()
        deliverAnswers()
        return end
    }

    private func read() -> String? {
        do {
            while true {
                switch try reader.next() {
                case .frame(let frame): try handle(frame)
                case .large(let frame, let memory): try handle(frame, memory)
                case .nothing:
                    return nil
                case .refill:
                    // The buffer is about to be used again.
                    deliverAnswers()
                case .end(let reason):
                    return reason
                }
            }
        } catch let error as LinkError {
            return "\(Self.protocolError): \(error)"
        } catch {
            return "\(error)"
        }
    }

    /// The link is closed: no frame is sent or read any more.
    func ended(_ reason: String) {
        let reason = verdict.withLock { $0 } ?? reason
        writer.close()
        streams = [:]
        cancelCallsOut()
        // No new calls; what it has is lost only when the process is known to have ended, and how.
        if let (route, replica) = served { route.close(replica) }
        assertNoLockIsHeld()
        observer?.linkEnded(self, reason: reason)
        phase = .ended
    }

    /// The process has ended: its calls have no answer to come.
    func detach(how: String) {
        let last = serving.withLock { serving in
            // The two know each other: this lets both go.
            defer { serving = nil }
            return serving
        }
        if let (route, replica) = last { route.detach(replica, how: how) }
    }

    private func handle(_ frame: FrameReader.Frame) throws {
        assertNoLockIsHeld()
        guard let kind = FrameKind(rawValue: frame.header.kind) else {
            if frame.header.flags.contains(.optional) { return }
            throw LinkError.unknownKind(frame.header.kind)
        }
        switch (phase, kind) {
        case (.serving, .piece):
            try take(piece: frame)
        case (.serving, .reply), (.serving, .error), (.serving, .end):
            answers.append(LinkAnswer(frame))
        case (.serving, .returned):
            let calls = try Returned(head: reader.head(of: frame)).calls
            deliverAnswers()
            if let (route, replica) = served { route.returned(calls, by: replica) }
        case (.serving, .leaving):
            // It ends by itself when what it has is done.
            if let (route, replica) = served { route.close(replica) }
        case (.serving, .callOut), (.starting, .callOut):
            try callOut(frame)
        case (.serving, .cancel), (.starting, .cancel):
            cancelCallOut(frame.header.id)
        case (.hello, .hello):
            try greet(try Hello(head: reader.head(of: frame)))
        case (.starting(let observer), .ready):
            let ready = try Ready(head: reader.head(of: frame))
            phase = .serving(observer)
            observer.linkIsReady(self, constructorMicros: ready.constructorMicros)
        case (.starting(let observer), .failed):
            let failed = try Failed(head: reader.head(of: frame))
            observer.linkFailed(failed, traceback: String(decoding: reader.payload(of: frame), as: UTF8.self))
        default:
            throw LinkError.unexpected(kind, "came out of turn")
        }
    }

    /// The same for a frame whose payload does not lie in the reader's buffer.
    private func handle(_ frame: FrameReader.Frame, _ memory: consuming SliceMemory) throws {
        guard let kind = FrameKind(rawValue: frame.header.kind) else { return }
        switch (phase, kind) {
        case (.serving, .reply): deliver(frame, memory)
        case (.serving, .piece): try take(piece: frame, memory)
        case (.serving, .callOut), (.starting, .callOut): try callOut(frame, memory)
        default: throw LinkError.unexpected(kind, "came out of turn")
        }
    }

    private func greet(_ hello: Hello) throws {
        reader.trust()
        switch redeem(try claim(hello)) {
        case .observer(let observer, let token): try welcome(hello, token, observer)
        case .waits(let token): phase = .waiting(hello, token: token)
        case .refused:
            throw LinkError.unexpected(
                .hello,
                isRemote ? "does not prove a token that was given out" : "has a token that no replica was given")
        }
    }

    private func claim(_ hello: Hello) throws(LinkError) -> LinkClaim {
        guard isRemote else { return .token(hello.token) }
        guard let proof = hello.proof else { throw .unexpected(.hello, "has no proof of a token") }
        return .proof(proof, challenge: challenge)
    }

    /// The link, which waited, is this observer's.
    func admit(_ observer: any ReplicaLinkObserver) throws(LinkError) {
        guard case .waiting(let hello, let token) = phase else { return }
        try welcome(hello, token, observer)
    }

    private func welcome(_ hello: Hello, _ token: String, _ observer: any ReplicaLinkObserver) throws(LinkError) {
        task = hello.proof?.task ?? ""
        pid = hello.pid
        phase = .starting(observer)
        observer.linkIsKnown(self)
        let proof = isRemote ? hello.proof.map { LinkProof.ofGateway(token: token, nonce: $0.nonce) } : nil
        let welcome = Welcome(
            version: try LinkVersion.negotiate(hello.versions), maxBodyLength: UInt64(maxBodyBytes), proof: proof ?? [])
        let settings = observer.settings
        writer.send { $0.append(.welcome, head: welcome.head, payload: settings) }
    }

    private func deliverAnswers() {
        guard !answers.isEmpty else { return }
        defer { answers.removeAll(keepingCapacity: true) }
        guard let (route, replica) = served else { return }
        route.answered(&answers, by: replica, sends: &sends)
        for answer in answers {
            let frame = answer.frame
            if !streams.isEmpty { streams[frame.header.id] = nil }
            guard let invocation = answer.invocation else { continue }
            switch frame.header.kind {
            case FrameKind.error.rawValue: invocation.fail(.watcher(reader.head(of: frame)))
            case FrameKind.end.rawValue: invocation.end(metadata(of: frame))
            default:
                deliver(
                    InvocationOutput(
                        borrowing: reader.payload(of: frame), isText: frame.header.flags.contains(.text)),
                    of: frame, to: invocation, function: route.name)
            }
        }
    }

    private func deliver(_ frame: FrameReader.Frame, _ memory: consuming SliceMemory) {
        guard let (route, replica) = served else { return }
        var answer = [LinkAnswer(frame)]
        route.answered(&answer, by: replica, sends: &sends)
        guard let invocation = answer[0].invocation else { return }
        deliver(
            InvocationOutput(owning: memory, isText: frame.header.flags.contains(.text)), of: frame, to: invocation,
            function: route.name)
    }

    private func deliver(
        _ output: consuming InvocationOutput, of frame: FrameReader.Frame, to invocation: Invocation, function: String
    ) {
        if output.count > maxBodyBytes {
            invocation.fail(.replyTooLarge(output.count, limit: maxBodyBytes))
        } else if invocation.wantsText, !output.isText, let offset = UTF8Check.firstInvalid(in: output.bytes) {
            invocation.fail(.replyNotText(function, at: offset))
        } else {
            invocation.reply(output, metadata(of: frame))
        }
    }

    /// What the handler gives to the caller beside its reply; mostly nothing.
    private func metadata(of frame: FrameReader.Frame) -> ReplyMetadata {
        guard frame.header.headLength > 2 else { return ReplyMetadata() }
        return ReplyMetadata(head: reader.head(of: frame))
    }
}
