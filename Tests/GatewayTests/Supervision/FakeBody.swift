@testable import Gateway
import Synchronization
import WatcherLink

/// What carries a replica, in the hands of a test: how it ends is said by the test, or by whoever kills it.
final class FakeBody: ReplicaBody {
    let token = LinkToken()
    private let socket: String
    private let outcome = Promise<Result<ReplicaExit, ConstructorFailure>>()
    private let begun = Promise<Void>()
    private let handler = Mutex<FakeHandler?>(nil)
    let stacks = Atomic<Int>(0)
    let wasKilled = Promise<Void>()

    /// - Parameter socket: where watchers dial.
    init(socket: String) {
        self.socket = socket
    }

    /// Returns once it is its turn.
    func hasBegun() async { _ = await begun.value() }

    var isBegun: Bool { begun.current != nil }

    /// Its watcher dials and is Ready, or says why not.
    func dial(failure: Failed? = nil) throws {
        let made = try FakeHandler(path: socket, token: token.text, failure: failure)
        handler.withLock { $0 = made }
    }

    func end(_ exit: ReplicaExit) { outcome.settle(.success(exit)) }

    func fail(_ failure: ConstructorFailure) { outcome.settle(.failure(failure)) }

    func run(onStart: @escaping @Sendable (Int32) -> Void) async throws(ConstructorFailure) -> ReplicaExit {
        begun.settle(())
        onStart(0)
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
