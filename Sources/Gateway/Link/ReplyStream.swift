internal import GRPC
internal import Synchronization
internal import WatcherLink

/// A reply that comes in pieces, seen from whoever takes them: it lets the handler go on as they are taken, so that a
/// slow reader slows the handler, and no more than its credit ever waits here.
package final class ReplyStream: Sendable {
    /// So many bytes are given back together.
    private static let creditBytes = Credit.initialBytes / 4

    private let link: ReplicaLink
    private let id: UInt64
    let invocation: Invocation
    /// Taken, and not given back yet, in bytes.
    private let owed = Atomic<Int>(0)

    init(link: ReplicaLink, id: UInt64, invocation: Invocation) {
        self.link = link
        self.id = id
        self.invocation = invocation
    }

    /// So many bytes of pieces have gone on to the caller.
    func taken(_ bytes: Int) {
        guard owed.add(bytes, ordering: .relaxed).newValue >= Self.creditBytes else { return }
        let credit = owed.exchange(0, ordering: .relaxed)
        if credit > 0 { link.send(Credit(bytes: UInt32(clamping: credit)), for: id) }
    }

    /// Nobody waits for the rest.
    func cancel() {
        link.cancel(id)
    }
}
