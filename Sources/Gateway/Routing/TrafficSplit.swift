internal import Synchronization

/// The routes between which a function's calls are divided. Immutable but for the count of calls: a change of the weights
/// makes another one.
final class TrafficSplit: Sendable {
    private struct Share: Sendable {
        /// Its points are those below this one, and not another's.
        let end: Int
        let route: FunctionRoute
    }

    private let function: String
    private let shares: [Share]
    private let last: FunctionRoute
    private let calls = Atomic<UInt64>(0)

    /// Nil when there is no share: a traffic has one at least.
    init?(function: String, _ routes: [(route: FunctionRoute, weight: Int)]) {
        guard let last = routes.last?.route else { return nil }
        self.function = function
        self.last = last
        var end = 0
        shares = routes.map { route, weight in
            end += weight
            return Share(end: end, route: route)
        }
    }

    /// Where a call goes: with a key always to the same route, else by turns.
    func route(key: String?) -> FunctionRoute {
        let point =
            key.map { Traffic.point(of: $0, in: function) }
            ?? Traffic.point(ofCall: calls.add(1, ordering: .relaxed).oldValue)
        for share in shares where point < share.end { return share.route }
        return last
    }
}
