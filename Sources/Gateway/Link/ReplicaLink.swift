internal import CLinux
internal import GRPC
internal import Glibc
internal import Synchronization
internal import WatcherLink

/// The link to one watcher, from its first frame to its end.
///
/// Frames may be sent from any thread. What comes is read, and answered calls are finished, on the links' one thread.
final class ReplicaLink: @unchecked Sendable {
    // @unchecked: what is not a constant belongs to the links' thread, but for `serving`, set before any call is sent.

    /// How far the link is.
    private enum Phase {
        case hello
        case starting(any ReplicaLinkObserver)
        case serving(any ReplicaLinkObserver)
        case ended
    }

    /// How the reason begins when the watcher broke the protocol.
    static let protocolError = "protocol error"

    let descriptor: Int32
    private let maxBodyBytes: Int
    /// Who a token belongs to; a token is good once.
    private let redeem: (String) -> (any ReplicaLinkObserver)?
    private var writer: LinkWriter
    private let reader: FrameReader
    private var phase = Phase.hello
    private let serving = Mutex<(route: FunctionRoute, replica: ReplicaSlots)?>(nil)
    /// Answers read from the socket and not handed on yet, with where their bytes lie in the reader's buffer.
    private var answers: [FrameReader.Frame] = []

    init(
        descriptor: Int32, maxBodyBytes: Int, onBlocked: @escaping @Sendable () -> Void,
        redeem: @escaping (String) -> (any ReplicaLinkObserver)?
    ) {
        self.descriptor = descriptor
        self.maxBodyBytes = maxBodyBytes
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

    func send(_ invocations: [(Invocation, UInt64)], at now: MonotonicTime) {
        guard !invocations.isEmpty else { return }
        writer.send { batch in
            for (invocation, id) in invocations { batch.append(invocation, id: id, at: now) }
        }
    }

    /// Nobody waits for this call any more.
    func cancel(_ id: UInt64) {
        writer.send { $0.append(.cancel, flags: .optional, id: id) }
    }

    /// The watcher finishes what it has and ends.
    func drain() {
        writer.send { $0.append(.drain) }
    }

    /// The calls that come to `replica` from `route` are this link's from now on. Before the first of them.
    func serve(_ replica: ReplicaSlots, of route: FunctionRoute) {
        serving.withLock { $0 = (route, replica) }
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
                case .largeReply(let frame, let memory):
                    deliverAnswers()
                    deliver(frame, memory)
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
        writer.close()
        // No new calls; what it has is lost only when the process is known to have ended, and how.
        if let (route, replica) = serving.withLock({ $0 }) { route.close(replica) }
        switch phase {
        case .hello, .ended: break
        case .starting(let observer), .serving(let observer): observer.linkEnded(self, reason: reason)
        }
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
        guard let kind = FrameKind(rawValue: frame.header.kind) else {
            if frame.header.flags.contains(.optional) { return }
            throw LinkError.unknownKind(frame.header.kind)
        }
        switch (phase, kind) {
        case (.serving, .reply), (.serving, .error):
            answers.append(frame)
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

    private func greet(_ hello: Hello) throws {
        guard let observer = redeem(hello.token) else {
            throw LinkError.unexpected(.hello, "has a token that no replica was given")
        }
        phase = .starting(observer)
        let welcome = Welcome(
            version: try LinkVersion.negotiate(hello.versions), maxBodyLength: UInt64(maxBodyBytes))
        writer.send { $0.append(.welcome, head: welcome.head, payload: observer.settings) }
    }

    private func deliverAnswers() {
        guard !answers.isEmpty else { return }
        defer { answers.removeAll(keepingCapacity: true) }
        guard let (route, replica) = serving.withLock({ $0 }) else { return }
        let invocations = route.answered(answers.map(\.header.id), by: replica)
        for (frame, invocation) in zip(answers, invocations) {
            guard let invocation else { continue }
            let payload = reader.payload(of: frame)
            if frame.header.kind == FrameKind.error.rawValue {
                invocation.fail(failure(frame))
                continue
            }
            if let failure = refusal(payload, of: frame, for: invocation, function: route.name) {
                invocation.fail(failure)
                continue
            }
            invocation.reply(ReplyMessage.copying(payload))
        }
    }

    private func deliver(_ frame: FrameReader.Frame, _ memory: consuming SliceMemory) {
        guard let (route, replica) = serving.withLock({ $0 }),
            let invocation = route.answered([frame.header.id], by: replica).first ?? nil
        else { return }
        if let failure = refusal(
            UnsafeRawBufferPointer(memory.bytes), of: frame, for: invocation, function: route.name)
        {
            invocation.fail(failure)
            return
        }
        invocation.reply(ReplyMessage.around(memory))
    }

    private func failure(_ frame: FrameReader.Frame) -> CallFailure {
        do {
            return .watcher(try ErrorHead(head: reader.head(of: frame)))
        } catch {
            return CallFailure(.internal, executed: .maybe, "the watcher's answer does not parse: \(error)")
        }
    }

    /// Why a reply cannot be given to its caller, if so.
    private func refusal(
        _ payload: UnsafeRawBufferPointer, of frame: FrameReader.Frame, for invocation: Invocation, function: String
    ) -> CallFailure? {
        if payload.count > maxBodyBytes { return .replyTooLarge(payload.count, limit: maxBodyBytes) }
        if invocation.wantsText, !frame.header.flags.contains(.text), let offset = UTF8Check.firstInvalid(in: payload) {
            return .replyNotText(function, at: offset)
        }
        return nil
    }
}
