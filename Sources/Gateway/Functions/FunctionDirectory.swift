internal import Locks

/// The functions that are deployed, for those who cannot wait for the registry's turn: it tells each change.
final class FunctionDirectory: Sendable {
    private let functions = Lock<[String: DeployedFunction]>([:])

    func become(_ functions: [String: DeployedFunction]) {
        let before = self.functions.withLock { current in
            defer { current = functions }
            return current
        }
        // Not under the lock: a function that is gone may end with it.
        withExtendedLifetime(before) {}
    }

    func function(named name: String) -> DeployedFunction? { functions.withLock { $0[name] } }
}
