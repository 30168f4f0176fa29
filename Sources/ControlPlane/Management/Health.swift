internal import Calls
internal import Platform

/// Whether the gateway and its functions can be called. Safe to use from any thread.
package final class Health: Sendable {
    package enum Status: Sendable {
        case serving, notServing
        /// No function has this name.
        case unknown
    }

    private let functions: FunctionDirectory
    private let gate: CallGate
    private let watchdog: Watchdog
    private let changes: Changes

    init(functions: FunctionDirectory, gate: CallGate, watchdog: Watchdog, changes: Changes) {
        self.functions = functions
        self.gate = gate
        self.watchdog = watchdog
        self.changes = changes
    }

    /// The status of the gateway or of a function. Never waits: it works even while Swift's threads or the registry
    /// make no progress.
    ///
    /// - Parameter name: the name of a function. Empty for the gateway.
    package func status(of name: String) -> Status {
        let isServing = gate.isServing && !watchdog.isStalled
        if name.isEmpty { return isServing ? .serving : .notServing }
        guard let function = functions.function(named: name) else { return .unknown }
        guard isServing else { return .notServing }
        switch function.status {
        case .ready, .idle: return .serving
        case .degraded:
            let isReady = function.live.flatMap(\.replicas).contains { $0.phase == .ready }
            return isReady ? .serving : .notServing
        case .starting, .failed: return .notServing
        }
    }

    /// Calls `body` at each change from now on, on the thread that makes the change. `body` must not block.
    package func observe(_ body: @escaping @Sendable () -> Void) {
        changes.observe(body)
    }
}
