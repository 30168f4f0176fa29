internal import FunctionConfig
internal import GRPC
internal import Locks
internal import WatcherLink

/// Where the calls of a service go: `echo` to the versions that get its traffic, `echo@3` to that one version.
///
/// Read on every call: the lock is held for one look-up in a dictionary, never longer.
package final class RouteTable: Sendable {
    private enum Target {
        case route(FunctionRoute)
        case split(TrafficSplit)
    }

    private struct State {
        /// By the text of a call's service.
        var targets: [String: Target] = [:]
        var functions: [String: [Int: FunctionRoute]] = [:]
    }

    private let state = Lock(State())

    package init() {}

    /// - Parameter key: the caller's `dcf-key`: while the weights stay, one key always leads to one version.
    package func route(of service: String, key: String?) -> FunctionRoute? {
        switch state.withLock({ $0.targets[service] }) {
        case .route(let route): route
        case .split(let split): split.route(key: key)
        case nil: nil
        }
    }

    /// Puts a function in, or changes where its calls go, at once.
    ///
    /// - Parameters:
    ///   - versions: the routes of all that are kept.
    ///   - traffic: of versions among these.
    package func set(_ function: String, versions: [Int: FunctionRoute], traffic: Traffic) {
        let routes = traffic.shares.compactMap { share in
            versions[share.version].map { (route: $0, weight: share.weight) }
        }
        let target: Target? =
            if routes.count == 1 { .route(routes[0].route) } else {
                TrafficSplit(function: function, routes).map { .split($0) }
            }
        state.withLock { state in
            Self.takeOut(function, &state)
            state.functions[function] = versions
            state.targets[function] = target
            for (version, route) in versions { state.targets["\(function)@\(version)"] = .route(route) }
        }
    }

    /// Takes a function out.
    package func remove(_ function: String) {
        state.withLock { Self.takeOut(function, &$0) }
    }

    private static func takeOut(_ function: String, _ state: inout State) {
        guard let versions = state.functions.removeValue(forKey: function) else { return }
        state.targets[function] = nil
        for version in versions.keys { state.targets["\(function)@\(version)"] = nil }
    }

    /// What a call of a service that is not there is told.
    package func unknown(_ service: String) -> CallFailure {
        let (names, versions) = state.withLock { state in
            (state.functions.keys.sorted(), state.functions.mapValues { $0.keys.sorted() })
        }
        guard let at = service.utf8.firstIndex(of: UInt8(ascii: "@")) else { return Self.unknown(service, names) }
        let name = String(service[..<at])
        guard let kept = versions[name] else { return Self.unknown(name, names) }
        return .unknownVersion(String(service[service.utf8.index(after: at)...]), of: name, kept: kept)
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
