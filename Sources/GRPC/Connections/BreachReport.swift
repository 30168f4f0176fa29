internal import Locks

/// Says which connections are closed and why: one line a second at most, however many they are.
final class BreachReport: Sendable {
    private struct State {
        var next = MonotonicTime(nanoseconds: .min)
        var unsaid = 0
    }

    private static let interval = Duration.seconds(1)

    private let say: @Sendable (String) -> Void
    private let state = Lock(State())

    init(_ say: @escaping @Sendable (String) -> Void) {
        self.say = say
    }

    func add(_ reason: String, of address: PeerAddress, at now: MonotonicTime = .now) {
        let unsaid = state.withLock { state -> Int? in
            guard now >= state.next else {
                state.unsaid += 1
                return nil
            }
            state.next = now.advanced(by: Self.interval)
            defer { state.unsaid = 0 }
            return state.unsaid
        }
        guard let unsaid else { return }
        assertNoLockIsHeld()
        let others = unsaid > 0 ? "; before it \(unsaid) more were closed" : ""
        say("a connection of \(address) is closed: \(reason)\(others)")
    }
}
