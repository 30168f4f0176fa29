import Calls
@testable import ControlPlane
import Link
import Platform
import Synchronization
import TestSupport
import WatcherLink

/// The replicas of a ``ControlPlaneTest``, in the order in which they were made. Each start of a replica is one of them.
final class FakeReplicas: Sendable {
    /// What a replica does when it is its turn to start.
    enum Beginning: Sendable {
        /// It is Ready at once.
        case ready
        /// Nothing, until the test says so.
        case waits
        /// Its constructor raises.
        case raises
    }

    struct Start: Sendable {
        let function: String
        let version: Int
        let number: Int
        let backend: FakeBackend

        /// Whether its handler has got this input.
        func has(_ input: String) -> Bool { backend.has(input) }

        /// The handler, once it is there.
        var handler: FakeHandler {
            get async throws {
                guard let handler = await backend.watcher.value() else { throw CancellationError() }
                return handler
            }
        }

        /// Its handler's constructor raises.
        func raise() {
            try? backend.dial(
                failure: Failed(stage: .constructor, summary: "ValueError: bad weights (handler.py:3)"))
            backend.end(.status(1))
        }
    }

    private struct State {
        var starts: [Start] = []
        /// By version; the others are Ready at once.
        var beginnings: [Int: Beginning] = [:]
    }

    private let socket: String
    private let changes: Changes
    private let steps: Steps
    private let state = Mutex(State())

    init(socket: String, changes: Changes, steps: Steps) {
        self.socket = socket
        self.changes = changes
        self.steps = steps
    }

    var all: [Start] { state.withLock { $0.starts } }

    /// All starts of replicas of a version.
    func of(version: Int) -> [Start] { all.filter { $0.version == version } }

    /// What those of a version do from now on when they begin.
    func begin(_ beginning: Beginning, version: Int = 1) {
        state.withLock { $0.beginnings[version] = beginning }
    }

    /// The start of this number, from 0, of a version, once it is its turn.
    func begun(_ index: Int, version: Int = 1) async -> Start {
        while true {
            let change = changes.upcoming
            let starts = of(version: version)
            if index < starts.count {
                await starts[index].backend.hasBegun()
                return starts[index]
            }
            _ = await change.value()
        }
    }

    func make(_ request: PlacementRequest) -> FakeBackend {
        let (name, version, number) = (request.plan.name, request.plan.record.version, request.number)
        let backend = FakeBackend(socket: socket) { [weak self] backend in
            guard let self else { return }
            steps.reach("\(name)@\(version): replica \(number) begins")
            switch state.withLock({ $0.beginnings[version] ?? .ready }) {
            case .ready: try? backend.dial()
            case .waits: break
            case .raises: Start(function: name, version: version, number: number, backend: backend).raise()
            }
        }
        state.withLock {
            $0.starts.append(Start(function: name, version: version, number: number, backend: backend))
        }
        changes.announce()
        return backend
    }
}

/// Keeps how calls have ended, in order.
final class CallOutcomes: CallObserver {
    private let told = AsyncStream.makeStream(of: CallOutcome.self)

    func ended(_ outcome: borrowing CallOutcome) {
        told.continuation.yield(copy outcome)
    }

    /// The next so many ends.
    func next(_ count: Int) async -> [CallOutcome] {
        var outcomes: [CallOutcome] = []
        for await outcome in told.stream {
            outcomes.append(outcome)
            if outcomes.count == count { break }
        }
        return outcomes
    }
}
