internal import Engine
internal import Locks

/// The engine's client, made when it is first needed.
final class LazyEngine: Sendable {
    private let make: ContainerEngineMaker
    private let tasks: TaskPool
    private let made = Lock<Result<any ContainerEngine, EngineError>?>(nil)

    init(tasks: TaskPool, _ make: @escaping ContainerEngineMaker) {
        self.make = make
        self.tasks = tasks
    }

    /// The client; made once.
    func get() throws(EngineError) -> any ContainerEngine {
        if let known = made.withLock({ $0 }) { return try known.get() }
        assertNoLockIsHeld()
        let result: Result<any ContainerEngine, EngineError>
        do throws(EngineError) { result = .success(try make()) } catch { result = .failure(error) }
        let (kept, isOurs) = made.withLock { made in
            if let other = made { return (other, false) }
            made = result
            return (result, true)
        }
        // Somebody else was quicker.
        if !isOurs, case .success(let unused) = result { tasks.add { await unused.shutdown() } }
        return try kept.get()
    }

    /// It is not needed any more.
    func shutdown() async {
        guard case .success(let engine) = made.withLock({ $0 }) else { return }
        await engine.shutdown()
    }
}
