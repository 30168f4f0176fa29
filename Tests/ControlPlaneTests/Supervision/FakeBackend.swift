@testable import ControlPlane
import Link
import Platform
import Synchronization
import TestSupport
import WatcherLink

/// A backend under the control of a test. The test says how the replica ends, or a kill ends it.
final class FakeBackend: ReplicaBackend {
    let token = LinkToken()
    private let socket: String
    private let outcome = Promise<Result<ReplicaExit, ConstructorFailure>>()
    private let begun = Promise<Void>()
    private let handler = Mutex<FakeHandler?>(nil)
    let stacks = Atomic<Int>(0)
    let wasKilled = Promise<Void>()
    /// The fake handler, once the watcher has dialled.
    let watcher = Promise<FakeHandler>()
    /// Held while the watcher dials, so that whoever has seen a reply finds the handler.
    private let dialled = Mutex<FakeHandler?>(nil)
    private let onBegin: @Sendable (FakeBackend) -> Void

    /// - Parameters:
    ///   - socket: the path of the socket that watchers dial.
    ///   - onBegin: called when it is the replica's turn to start.
    init(socket: String, onBegin: @escaping @Sendable (FakeBackend) -> Void = { _ in }) {
        self.socket = socket
        self.onBegin = onBegin
    }

    /// Returns once it is the replica's turn to start.
    func hasBegun() async { _ = await begun.value() }

    /// Whether its handler got this input.
    func has(_ input: String) -> Bool { dialled.withLock { $0 }?.now.inputs.contains(input) ?? false }

    var isBegun: Bool { begun.current != nil }

    /// The watcher dials, and is Ready or reports `failure`.
    func dial(failure: Failed? = nil) throws {
        let made = try dialled.withLock { dialled in
            let made = try FakeHandler(path: socket, token: token.text, failure: failure)
            dialled = made
            return made
        }
        handler.withLock { $0 = made }
        watcher.settle(made)
    }

    func end(_ exit: ReplicaExit) { outcome.settle(.success(exit)) }

    func fail(_ failure: ConstructorFailure) { outcome.settle(.failure(failure)) }

    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit {
        begun.settle(())
        onStart(0)
        onBegin(self)
        let result = await outcome.value()
        handler.withLock { $0.take() }?.stop()
        return try (result ?? .success(.signal(9))).get()
    }

    func drain(_ link: ReplicaLink) { end(.status(0)) }

    func kill() {
        wasKilled.settle(())
        end(.signal(9))
    }

    func printStacks() { stacks.add(1, ordering: .relaxed) }

    func memory() -> UInt64? { nil }
}

/// A place for which a test makes the backends.
struct FakePlacement: ReplicaPlacement {
    let make: @Sendable () -> any ReplicaBackend

    init(_ make: @escaping @Sendable () -> any ReplicaBackend) { self.make = make }

    func makeBackend(devices: [GPUDevice]) -> any ReplicaBackend { make() }

    func release() async {}
}
