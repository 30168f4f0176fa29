internal import FunctionConfig
internal import Platform
internal import Synchronization

/// Says which route a call goes to by the name that its caller gave: `echo` goes to the versions that get the
/// function's traffic, `echo@3` to that one version.
///
/// Any thread may use it. It is read on every call: the lock is held for one look-up in a dictionary, never longer.
package final class RouteTable: Sendable {
    /// Where one call goes.
    package struct Destination {
        package let route: FunctionRoute
        /// Whether the caller named the version.
        package let namesVersion: Bool
    }

    private enum Target {
        /// The only version with traffic.
        case function(FunctionRoute)
        /// The versions that share the traffic.
        case split(TrafficSplit)
        /// The version that the caller names.
        case version(FunctionRoute)
    }

    private struct State {
        /// By the name that a call carries.
        var targets: [String: Target] = [:]
        var functions: [String: [Int: FunctionRoute]] = [:]
    }

    private let state = Lock(State())

    package init() {}

    /// Finds the route for one call; nil where no such function or version is deployed.
    ///
    /// - Parameters:
    ///   - name: `function` or `function@version`.
    ///   - key: the caller's `dcf-key`. As long as the weights stay the same, one key always leads to one version.
    package func destination(of name: String, key: String?) -> Destination? {
        switch state.withLock({ $0.targets[name] }) {
        case .function(let route): Destination(route: route, namesVersion: false)
        case .split(let split): Destination(route: split.route(key: key), namesVersion: false)
        case .version(let route): Destination(route: route, namesVersion: true)
        case nil: nil
        }
    }

    /// Adds a function, or changes where its calls go, in one step.
    ///
    /// - Parameters:
    ///   - versions: the routes of all kept versions.
    ///   - traffic: divides the calls between some of these versions.
    package func set(_ function: String, versions: [Int: FunctionRoute], traffic: Traffic) {
        let routes = traffic.shares.compactMap { share in
            versions[share.version].map { (route: $0, weight: share.weight) }
        }
        let target: Target? =
            if routes.count == 1 { .function(routes[0].route) } else {
                TrafficSplit(function: function, routes).map { .split($0) }
            }
        state.withLock { state in
            Self.remove(function, from: &state)
            state.functions[function] = versions
            state.targets[function] = target
            for (version, route) in versions { state.targets["\(function)@\(version)"] = .version(route) }
        }
    }

    /// Removes a function.
    package func remove(_ function: String) {
        state.withLock { Self.remove(function, from: &$0) }
    }

    private static func remove(_ function: String, from state: inout State) {
        guard let versions = state.functions.removeValue(forKey: function) else { return }
        state.targets[function] = nil
        for version in versions.keys { state.targets["\(function)@\(version)"] = nil }
    }

    /// The failure of a call to a function or version that is not deployed.
    package func unknown(_ text: String) -> CallFailure {
        let (names, versions) = state.withLock { state in
            (state.functions.keys.sorted(), state.functions.mapValues { $0.keys.sorted() })
        }
        guard let at = text.utf8.firstIndex(of: UInt8(ascii: "@")) else { return Self.unknown(text, names) }
        let name = String(text[..<at])
        guard let kept = versions[name] else { return Self.unknown(name, names) }
        return .unknownVersion(String(text[text.utf8.index(after: at)...]), of: name, kept: kept)
    }

    private static func unknown(_ name: String, _ names: [String]) -> CallFailure {
        do throws(InvalidFunctionName) {
            _ = try FunctionName(name)
            return .unknownFunction(name, nearest: Suggestion.nearest(to: name, among: names))
        } catch {
            return CallFailure(.invalidArgument, executed: .no, "\(error)")
        }
    }
}

/// Divides a function's calls between the routes of its versions. Only its count of calls changes: new weights make a
/// new split. Any thread may use it.
private final class TrafficSplit: Sendable {
    private struct Share: Sendable {
        /// The end of the share's points, which begin at the end of the share before it.
        let end: Int
        package let route: FunctionRoute
    }

    private let function: String
    private let shares: [Share]
    private let last: FunctionRoute
    private let calls = Atomic<UInt64>(0)

    /// Nil when there are no routes. A ``Traffic`` has at least one share.
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

    /// The route for one call: calls with the same key go to the same route, others in turn.
    func route(key: String?) -> FunctionRoute {
        let point =
            key.map { Traffic.point(of: $0, in: function) }
            ?? Traffic.point(ofCall: calls.add(1, ordering: .relaxed).oldValue)
        for share in shares where point < share.end { return share.route }
        return last
    }
}
