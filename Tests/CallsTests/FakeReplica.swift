@testable import Calls
import Platform
import Synchronization
import TestSupport

/// A replica as a test plays it: it keeps what its route sends, and its answers go the same way as a link's.
final class FakeReplica {
    /// One message of a route to a replica.
    struct Word: Equatable {
        enum Kind { case call, batch, cancel, recall }

        var kind: Kind
        var id: UInt64 = 0
        /// The input of a call; the size of a batch.
        var payload = ""
    }

    private final class Channel: ReplicaChannel {
        let words = Mutex<[Word]>([])
        let isTold = Semaphore()

        private func say(_ word: Word) {
            words.withLock { $0.append(word) }
            isTold.post()
        }

        func send(_ invocation: Invocation, id: UInt64, at now: MonotonicTime) {
            var input: [UInt8] = []
            invocation.input.forEachPiece { piece in
                input += piece
                return true
            }
            say(Word(kind: .call, id: id, payload: String(decoding: input, as: UTF8.self)))
        }

        func send(_ calls: [SentCall], asBatch: Bool, at now: MonotonicTime) {
            if asBatch { say(Word(kind: .batch, payload: "\(calls.count)")) }
            for call in calls { send(call.invocation, id: call.id, at: now) }
        }

        func cancel(_ id: UInt64) { say(Word(kind: .cancel, id: id)) }
        func recall() { say(Word(kind: .recall)) }
    }

    let slots: ReplicaSlots
    private let channel = Channel()
    private let route: FunctionRoute
    private var sends: [SentCall] = []

    /// Makes a replica and attaches it to the route, unless `attached` is false.
    init(
        _ route: FunctionRoute, _ settings: RouteSettings, at now: MonotonicTime, attached: Bool = true,
        onOverrun: @escaping @Sendable (ReplicaOverrun) -> Void = { _ in }
    ) {
        self.route = route
        slots = ReplicaSlots(channel: channel, settings: settings, onOverrun: onOverrun)
        if attached { route.attach(slots, at: now) }
    }

    /// What the route has sent since the last call of this.
    func received() -> [Word] {
        channel.words.withLock { words in
            defer { words = [] }
            return words
        }
    }

    /// Waits for `count` messages, and returns all of them.
    func wait(for count: Int) -> [Word] {
        while channel.words.withLock({ $0.count < count }) { channel.isTold.wait() }
        return received()
    }

    /// The inputs of the calls that came since the last call of `received`.
    func calls() -> [String] { received().filter { $0.kind == .call }.map(\.payload) }

    /// Replies to the calls with these ids together.
    func reply(_ ids: [UInt64], at now: MonotonicTime) {
        var answers = ids.map { AnsweredCall(id: $0) }
        route.answered(&answers, by: slots, sends: &sends, at: now)
        for answer in answers { answer.invocation?.fail(FakeCall.replied) }
    }

    /// Gives calls back.
    func giveBack(_ ids: [UInt64], at now: MonotonicTime = .now) {
        route.returned(ids, by: slots, at: now)
    }

    func detach() { route.detach(slots, how: "killed") }
}
