internal import GRPC
internal import WatcherLink

/// Replies that come in pieces.
extension ReplicaLink {
    /// The handler may send so many more bytes of pieces for a call.
    func send(_ credit: Credit, for id: UInt64) {
        writer.send { $0.append(.credit, id: id, head: credit.head) }
    }

    /// A piece goes to its call at once, before answers that were read earlier: those are of other calls.
    func take(piece frame: FrameReader.Frame) throws(LinkError) {
        guard let stream = try stream(of: frame) else { return }
        stream.invocation.piece(
            InvocationOutput(borrowing: reader.payload(of: frame), isText: frame.header.flags.contains(.text)),
            from: stream)
    }

    func take(piece frame: FrameReader.Frame, _ memory: consuming SliceMemory) throws(LinkError) {
        guard let stream = try stream(of: frame) else { return }
        stream.invocation.piece(
            InvocationOutput(owning: memory, isText: frame.header.flags.contains(.text)), from: stream)
    }

    /// The stream that a piece belongs to; nil when its call is not known any more, or the piece is too large for it.
    private func stream(of frame: FrameReader.Frame) throws(LinkError) -> ReplyStream? {
        let id = frame.header.id
        let known = streams[id]
        guard let stream = known ?? begin(id) else { return nil }
        guard stream.invocation.wantsPieces else {
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
