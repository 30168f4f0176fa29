internal import Calls
internal import NIOCore
internal import NIOPosix
internal import Platform
internal import Synchronization

/// One part of the answer to a call over HTTP.
enum AnswerPart: Sendable {
    /// The whole reply. `isPacked`: the gateway has packed it, as gzip.
    case reply(ByteBuffer, isText: Bool, isPacked: Bool, ReplyMetadata)
    /// One piece of a reply that streams.
    case piece(ByteBuffer, isText: Bool, any PieceSource)
    /// The last piece has come.
    case end(ReplyMetadata)
    case failure(CallFailure)
}

/// Brings the answer to one call from the threads of the links to the event loop of its connection, in order.
final class HTTPAnswer: InvocationResponder {
    private let replies: ByteBudget
    private let coding: ReplyCoding
    private let loop: any EventLoop
    private let receive: @Sendable (AnswerPart) -> Void
    /// The bytes of the reply that the budget counts.
    private let reserved = Atomic<Int>(0)

    /// - Parameters:
    ///   - replies: the memory for replies that callers have not read.
    ///   - coding: whether the reply is packed.
    ///   - receive: gets the parts, on `loop`. It must not keep this object: this object keeps it.
    init(
        replies: ByteBudget, coding: ReplyCoding, on loop: any EventLoop,
        receive: @escaping @Sendable (AnswerPart) -> Void
    ) {
        self.replies = replies
        self.coding = coding
        self.loop = loop
        self.receive = receive
    }

    deinit {
        // Perhaps while a lock is held.
        replies.release(reserved.load(ordering: .relaxed))
    }

    /// The connection has taken this many bytes of the reply, or they are lost.
    func sent(_ bytes: Int) {
        reserved.subtract(bytes, ordering: .relaxed)
        replies.release(bytes)
    }

    func takeRoom(for bytes: Int) -> CallFailure? {
        guard replies.reserve(bytes, held: reserved.load(ordering: .relaxed)) else {
            return .repliesNotTaken(replies: replies.limit)
        }
        reserved.add(bytes, ordering: .relaxed)
        return nil
    }

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) {
        let isText = output.isText
        let content = output.buffer()
        guard coding.packs(content.readableBytes, metadata) else {
            return give(.reply(content, isText: isText, isPacked: false, metadata))
        }
        // It may take long, and the threads of links and event loops have others to serve.
        NIOThreadPool.singleton.submit { [self] _ in
            let packed = Deflater.gzip(content)
            give(.reply(packed ?? content, isText: isText, isPacked: packed != nil, metadata))
        }
    }

    func piece(_ output: consuming InvocationOutput, from source: any PieceSource) {
        let isText = output.isText
        give(.piece(output.buffer(), isText: isText, source))
    }

    func end(_ metadata: ReplyMetadata) {
        give(.end(metadata))
    }

    func fail(_ failure: CallFailure) {
        give(.failure(failure))
    }

    private func give(_ part: AnswerPart) {
        loop.execute { [receive] in receive(part) }
    }
}
