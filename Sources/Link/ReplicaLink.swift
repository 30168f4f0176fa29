internal import CLinux
package import Calls
internal import Glibc
package import Platform
internal import WatcherLink

/// The link to one watcher, from its first frame to its end.
///
/// Any thread may send frames. Only the link's thread reads frames and finishes answered calls. The link may move to
/// another thread between two turns.
package final class ReplicaLink: ReplicaChannel, @unchecked Sendable {
    // @unchecked: the link's thread alone uses the variables, except those behind a lock. `task` and `pid` are written
    // before the observer gets the link.

    /// As how many frames one with its own memory counts.
    private static let workOfLarge = 32

    /// How far the link is.
    private enum Phase {
        case hello
        /// It has presented a token that no observer expects yet.
        case waiting(Hello, token: String)
        case starting(any ReplicaLinkObserver)
        case serving(any ReplicaLinkObserver)
        case ended
    }

    let descriptor: Int32
    /// Whether it came over TCP.
    let isRemote: Bool
    /// The cluster's task that the watcher names in its Hello; empty for any other watcher. Set before `linkIsKnown`.
    package private(set) var task = ""
    /// The watcher's process id in its own namespace. Set before `linkIsKnown`.
    package private(set) var pid: UInt32 = 0
    /// The bytes that the watcher must authenticate with its token; empty on a unix socket.
    private let challenge: [UInt8]
    /// Why the gateway has ended the link; nil unless it has.
    private let verdict = Lock<String?>(nil)
    let maxBodyBytes: Int
    /// Takes the calls that the handler makes.
    let invoker: Invoker
    /// The thread that reads the link.
    let home: LinkHome
    /// Learns of the replies that are delivered: that thread's.
    var burst: ReplyBurst
    /// How much was read of the link in the current window, in frames.
    var work = 0
    /// Decides on the link by the credential that its watcher presents.
    private let redeem: (LinkCredential) -> LinkAdmission
    let writer: LinkWriter
    let reader: FrameReader
    private var phase = Phase.hello
    private let serving = Lock<(route: FunctionRoute, replica: ReplicaSlots)?>(nil)
    /// The answers that were read and are not delivered yet.
    // @exclusivity, here and below: only the link's thread uses them, and Swift's check of each access costs each call.
    @exclusivity(unchecked) private var answers: [AnsweredCall] = []
    /// The frame of each of these answers.
    @exclusivity(unchecked) private var answerFrames: [FrameReader.Frame] = []
    /// Memory for the calls that are sent when answers free their places.
    @exclusivity(unchecked) private var sends: [SentCall] = []
    /// The replies in pieces, from the first piece on, by the call's id.
    var streams: [UInt64: ReplyStream] = [:]
    /// The calls that the handler has made and that have no answer yet.
    let callsOut = Lock<[UInt64: ChainedCall]>([:])

    init(
        descriptor: Int32, isRemote: Bool = false, maxBodyBytes: Int, invoker: Invoker, burst: ReplyBurst,
        home: LinkHome, redeem: @escaping (LinkCredential) -> LinkAdmission
    ) {
        self.descriptor = descriptor
        self.isRemote = isRemote
        challenge = isRemote ? LinkProof.nonce() : []
        self.maxBodyBytes = maxBodyBytes
        self.invoker = invoker
        self.burst = burst
        self.home = home
        self.redeem = redeem
        writer = LinkWriter(descriptor: descriptor, onBlocked: { home.awaitRoom() })
        reader = FrameReader(descriptor: descriptor, maxBodyBytes: maxBodyBytes)
    }

    deinit {
        // Not earlier: a writer on another thread may have used the number until now.
        Glibc.close(descriptor)
    }

    // MARK: Sending

    package func send(_ invocation: Invocation, id: UInt64, at now: MonotonicTime) {
        writer.send { $0.append(invocation, id: id, at: now) }
    }

    /// - Parameter asBatch: whether the handler gets the calls as one list.
    package func send(_ calls: [SentCall], asBatch: Bool, at now: MonotonicTime) {
        guard !calls.isEmpty else { return }
        writer.send { batch in
            if asBatch { batch.appendBatch(of: calls.count) }
            for call in calls { batch.append(call.invocation, id: call.id, at: now) }
        }
    }

    /// Asks the watcher to give back the calls that it has not begun.
    package func recall() {
        writer.send { $0.append(.recall) }
    }

    /// Tells the watcher that the caller of a call has left.
    package func cancel(_ id: UInt64) {
        writer.send { $0.append(.cancel, flags: .optional, id: id) }
        cancelCallsOut(of: id)
    }

    /// Asks the watcher to finish its calls and end.
    package func drain() {
        writer.send { $0.append(.drain) }
    }

    /// Asks the watcher to end at once, even if other gateways have links with it.
    package func stop() {
        writer.send { $0.append(.stop, flags: .optional) }
    }

    /// Asks the watcher to write the stacks of its threads to its log.
    package func printStacks() {
        writer.send { $0.append(.stacks, flags: .optional) }
    }

    /// Connects the link with the places that `replica` has in `route`. Called before the first call is sent.
    package func serve(_ replica: ReplicaSlots, of route: FunctionRoute) {
        serving.withLock { $0 = (route, replica) }
    }

    /// The replica that the link serves, and its route; nil before it is Ready, and after its process has ended.
    var served: (route: FunctionRoute, replica: ReplicaSlots)? { serving.withLock { $0 } }

    /// Ends the link for a reason of the gateway. The watcher then ends itself. Any thread may call it.
    package func end(_ reason: String) {
        verdict.withLock { if $0 == nil { $0 = reason } }
        shutdown()
    }

    /// Makes the link's thread see the end of the link. Any thread may call it.
    func shutdown() {
        Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
    }

    // MARK: On the link's thread

    /// Whether the watcher has presented a token.
    var isKnown: Bool {
        if case .hello = phase { return false }
        return true
    }

    /// The observer that the link belongs to; nil before an observer has expected the watcher's token, and after the
    /// link's end.
    var observer: (any ReplicaLinkObserver)? {
        switch phase {
        case .hello, .waiting, .ended: nil
        case .starting(let observer), .serving(let observer): observer
        }
    }

    /// The token that the watcher has presented, while no observer expects it.
    var awaitedToken: String? {
        if case .waiting(_, let token) = phase { return token }
        return nil
    }

    /// Sends the challenge, where the watcher must prove its token.
    func begin() {
        guard isRemote else { return }
        let head = Challenge(nonce: challenge).head
        writer.send { $0.append(.challenge, head: head) }
    }

    /// Goes on writing: the socket has room.
    func writable() {
        writer.resume()
    }

    /// Reads the frames that have come.
    ///
    /// - Parameter readsAll: false leaves what is more than the link's share of a turn to the next turn.
    /// - Returns: why the link has ended; nil while it has not.
    func readable(readsAll: Bool = false) -> LinkEnd? {
        reader.beginTurn(readsAll: readsAll)
        let end = read()
        deliverAnswers()
        return end
    }

    private func read() -> LinkEnd? {
        do throws(LinkError) {
            while true {
                switch try reader.next() {
                case .frame(let frame):
                    work &+= 1
                    try handle(frame)
                case .large(let frame, let memory):
                    work &+= Self.workOfLarge
                    try handle(frame, memory)
                case .nothing:
                    return nil
                case .refill:
                    // The answers lie in the buffer, which is about to be used again.
                    deliverAnswers()
                case .end(let reason):
                    return reason
                }
            }
        } catch {
            return .protocolError(error)
        }
    }

    /// Closes the link: no frame is sent or read any more.
    func ended(_ end: LinkEnd) {
        let end = verdict.withLock { $0 }.map { LinkEnd.byGateway($0) } ?? end
        writer.close()
        streams = [:]
        cancelCallsOut()
        // The replica gets no new calls. Its calls are lost only once it is known that, and how, its process has ended.
        if let (route, replica) = served { route.close(replica) }
        assertNoLockIsHeld()
        observer?.linkEnded(self, end)
        phase = .ended
    }

    /// Fails the calls of the replica: its process has ended, and no answer will come.
    func detach(how: String) {
        let last = serving.withLock { serving in
            // The link and the replica refer to each other: this ends the cycle.
            defer { serving = nil }
            return serving
        }
        if let (route, replica) = last { route.detach(replica, how: how) }
    }

    private func handle(_ frame: FrameReader.Frame) throws(LinkError) {
        assertNoLockIsHeld()
        guard let kind = FrameKind(rawValue: frame.header.kind) else {
            if frame.header.flags.contains(.optional) { return }
            throw LinkError.unknownKind(frame.header.kind)
        }
        switch (phase, kind) {
        case (.serving, .piece):
            try deliver(piece: frame)
        case (.serving, .reply), (.serving, .error), (.serving, .end):
            answers.append(AnsweredCall(id: frame.header.id))
            answerFrames.append(frame)
        case (.serving, .returned):
            let calls = try Returned(head: reader.head(of: frame)).calls
            deliverAnswers()
            if let (route, replica) = served { route.returned(calls, by: replica) }
        case (.serving, .leaving):
            // The watcher ends by itself when it has finished its calls.
            if let (route, replica) = served { route.close(replica) }
        case (.serving, .pace):
            let nanoseconds = try Pace(head: reader.head(of: frame)).nanoseconds
            if let (route, replica) = served { route.note(pace: Int64(clamping: nanoseconds), of: replica) }
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

    /// Handles a frame with its payload in its own memory.
    private func handle(_ frame: FrameReader.Frame, _ memory: consuming OwnedBytes) throws(LinkError) {
        guard let kind = FrameKind(rawValue: frame.header.kind) else { return }
        switch (phase, kind) {
        case (.serving, .reply): deliver(frame, memory)
        case (.serving, .piece): try deliver(piece: frame, memory)
        case (.serving, .callOut), (.starting, .callOut): try callOut(frame, memory)
        default: throw LinkError.unexpected(kind, "came out of turn")
        }
    }

    private func greet(_ hello: Hello) throws(LinkError) {
        reader.trust()
        switch redeem(try credential(of: hello)) {
        case .observer(let observer, let token): try welcome(hello, token, observer)
        case .waits(let token): phase = .waiting(hello, token: token)
        case .refused:
            throw LinkError.unexpected(
                .hello,
                isRemote ? "does not prove a valid token" : "has a token that no replica was given")
        }
    }

    private func credential(of hello: Hello) throws(LinkError) -> LinkCredential {
        guard isRemote else { return .token(hello.token) }
        guard let proof = hello.proof else { throw .unexpected(.hello, "has no proof of a token") }
        return .proof(proof, challenge: challenge)
    }

    /// Gives the link, which has waited, to its observer.
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
        defer {
            answers.removeAll(keepingCapacity: true)
            answerFrames.removeAll(keepingCapacity: true)
        }
        guard let (route, replica) = served else { return }
        if answers.count > 1 { burst.begin() }
        route.answered(&answers, by: replica, sends: &sends)
        for (answer, frame) in zip(answers, answerFrames) {
            if !streams.isEmpty { streams[frame.header.id] = nil }
            guard let invocation = answer.invocation else { continue }
            switch frame.header.kind {
            case FrameKind.error.rawValue: invocation.fail(CallFailure(errorHead: reader.head(of: frame)))
            case FrameKind.end.rawValue: invocation.end(metadata(of: frame))
            default:
                deliver(
                    InvocationOutput(
                        borrowing: reader.payload(of: frame), isText: frame.header.flags.contains(.text)),
                    of: frame, to: invocation, function: route.name)
            }
            burst.noteReply()
        }
    }

    private func deliver(_ frame: FrameReader.Frame, _ memory: consuming OwnedBytes) {
        guard let (route, replica) = served else { return }
        var answer = [AnsweredCall(id: frame.header.id)]
        route.answered(&answer, by: replica, sends: &sends)
        guard let invocation = answer[0].invocation else { return }
        deliver(
            InvocationOutput(owning: memory, isText: frame.header.flags.contains(.text)), of: frame, to: invocation,
            function: route.name)
        burst.noteReply(isLarge: true)
    }

    private func deliver(
        _ output: consuming InvocationOutput, of frame: FrameReader.Frame, to invocation: Invocation, function: String
    ) {
        if output.count > maxBodyBytes {
            invocation.fail(.replyTooLarge(output.count, limit: maxBodyBytes))
        } else if let advice = invocation.context.needsText, !output.isText,
            let offset = UTF8Check.firstInvalid(in: output.bytes)
        {
            invocation.fail(.replyNotText(function, at: offset, advice))
        } else {
            invocation.reply(output, metadata(of: frame))
        }
    }

    /// The metadata that the handler has set for its caller; mostly none.
    private func metadata(of frame: FrameReader.Frame) -> ReplyMetadata {
        guard frame.header.headLength > 2 else { return ReplyMetadata() }
        return ReplyMetadata(head: reader.head(of: frame))
    }
}
