internal import FunctionConfig
internal import GRPC
internal import Synchronization
internal import WatcherLink

/// Which function a name is. Read on every call: the lock is held for one look-up in a dictionary, never longer.
package final class RouteTable: Sendable {
    private let routes = Mutex<[String: FunctionRoute]>([:])

    package init() {}

    package func route(of name: String) -> FunctionRoute? {
        routes.withLock { $0[name] }
    }

    package func insert(_ route: FunctionRoute) {
        routes.withLock { $0[route.name] = route }
    }

    package func remove(_ name: String) {
        _ = routes.withLock { $0.removeValue(forKey: name) }
    }

    package var all: [FunctionRoute] {
        routes.withLock { Array($0.values) }
    }

    /// What a call of a name that is not there is told.
    package func unknown(_ name: String) -> CallFailure {
        if let problem = Self.problem(of: name) {
            return CallFailure(.invalidArgument, executed: .no, problem)
        }
        let names = routes.withLock { $0.keys.sorted() }
        return .unknownFunction(name, nearest: Suggestion.nearest(to: name, among: names))
    }

    private static func problem(of name: String) -> String? {
        do throws(InvalidFunctionName) {
            _ = try FunctionName(name)
            return nil
        } catch {
            return "\(error)"
        }
    }
}
