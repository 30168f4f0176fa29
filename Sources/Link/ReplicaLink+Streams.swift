internal import Calls
internal import Platform
internal import Synchronization
internal import WatcherLink

// Replies in pieces.
extension ReplicaLink {
    /// Lets the handler send more bytes of pieces for a call.
    func send(_ credit: Credit, for id: UInt64) {
        writer.send { $0.append(.credit, id: id, head: credit.head) }
    }

    /// Passes a piece on to its call at once, before answers that were read earlier: those belong to other calls.
    func deliver(piece frame: FrameReader.Frame) throws(LinkError) {
        guard let stream = try stream(of: frame) else { return }
        stream.invocation.piece(
            InvocationOutput(borrowing: reader.payload(of: frame), isText: frame.header.flags.contains(.text)),
            from: stream)
        burst.noteReply()
    }

    func deliver(piece frame: FrameReader.Frame, _ memory: consuming OwnedBytes) throws(LinkError) {
        guard let stream = try stream(of: frame) else { return }
        stream.invocation.piece(
            InvocationOutput(owning: memory, isText: frame.header.flags.contains(.text)), from: stream)
        burst.noteReply(isLarge: true)
    }

    /// The stream that a piece belongs to; nil when its call is not known any more, or the piece is too large.
    private func stream(of frame: FrameReader.Frame) throws(LinkError) -> ReplyStream? {
        let id = frame.header.id
        let known = streams[id]
        guard let stream = known ?? begin(id) else { return nil }
        guard stream.invocation.context.wantsPieces else {
            throw .unexpected(.piece, "came for a call that takes no pieces")
        }
        if known == nil { streams[id] = stream }
        let count = frame.header.payloadLength
        guard count <= maxBodyBytes else {
            stream.invocation.fail(.replyTooLarge(count, limit: maxBodyBytes))
            stream.cancel()
            return nil
        }
        return stream
    }

    private func begin(_ id: UInt64) -> ReplyStream? {
        guard let (route, replica) = served, let invocation = route.invocation(id, of: replica) else { return nil }
        return ReplyStream(link: self, id: id, invocation: invocation)
    }
}

/// A reply in pieces, as the front sees it. It gives the handler credit as the front sends the pieces on: a slow reader
/// slows the handler, and no more than the credit ever waits in the gateway. Any thread may use it.
final class ReplyStream: PieceSource {
    /// How many bytes of credit are given back together.
    private static let creditBytes = Credit.initialBytes / 4

    private let link: ReplicaLink
    private let id: UInt64
    let invocation: Invocation
    /// The bytes that were sent on and not given back as credit yet.
    private let owed = Atomic<Int>(0)

    init(link: ReplicaLink, id: UInt64, invocation: Invocation) {
        self.link = link
        self.id = id
        self.invocation = invocation
    }

    /// `bytes` of pieces have been sent on to the caller.
    func taken(_ bytes: Int) {
        guard owed.add(bytes, ordering: .relaxed).newValue >= Self.creditBytes else { return }
        let credit = owed.exchange(0, ordering: .relaxed)
        if credit > 0 { link.send(Credit(bytes: UInt32(clamping: credit)), for: id) }
    }

    /// Tells the watcher that the caller does not want the rest.
    func cancel() {
        link.cancel(id)
    }
}
