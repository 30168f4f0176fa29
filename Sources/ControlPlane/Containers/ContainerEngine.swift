package import Engine
internal import Platform

/// What the gateway asks of the Docker engine that runs containers on this machine. The text of each error is a
/// sentence for the user.
package protocol ContainerEngine: Sendable {
    func info() async throws(EngineError) -> EngineInfo

    /// Finds an image by its name or id; nil when the engine does not have it.
    func image(_ name: String) async throws(EngineError) -> EngineImage?

    /// Pulls an image from its registry.
    func pull(
        _ reference: ImageReference, credentials: RegistryCredentials?, onProgress: (EngineProgress) -> Void
    ) async throws(EngineError)

    /// Gives an image another name.
    func tag(_ image: String, as reference: ImageReference) async throws(EngineError)

    /// The names of all images that match a pattern such as `name/*`.
    func imageNames(like pattern: String) async throws(EngineError) -> [String]

    /// Removes a name of an image, and with its last name the image itself. An id removes an image without a name. Does
    /// nothing when there is no such image.
    ///
    /// - Throws: `conflict` when a container uses the image, or when the image of an id has names.
    func removeImage(_ name: String) async throws(EngineError)

    /// Makes a container without starting it.
    ///
    /// - Returns: the container's id.
    func createContainer(_ spec: ContainerSpec) async throws(EngineError) -> String

    func start(_ id: String) async throws(EngineError)

    /// The process id of the container's first process on this machine; 0 when the container does not run.
    func pid(of id: String) async throws(EngineError) -> Int32

    /// Whether the container runs, and how it ended if it does not.
    ///
    /// - Throws: `notFound` when there is no such container.
    func state(of id: String) async throws(EngineError) -> ContainerState

    /// The container's mounts.
    ///
    /// - Throws: `notFound` when there is no such container.
    func mounts(of id: String) async throws(EngineError) -> [ContainerMount]

    /// Follows the container's output until the container ends. No output after `onAttached` is missed.
    func attach(
        _ id: String, input: (any AsyncSequence<[UInt8], Never> & Sendable)?, onAttached: () -> Void,
        _ receive: (ContainerOutput, [UInt8]) -> Void
    ) async throws(EngineError)

    /// Waits until the container ends.
    func wait(_ id: String) async throws(EngineError) -> ContainerExit

    /// Sends a signal to the container's first process. Does nothing when the container does not run.
    func kill(_ id: String, signal: Int32) async throws(EngineError)

    /// Ends a container, if it runs, and removes it with its anonymous volumes. Does nothing when there is no such
    /// container.
    ///
    /// - Parameter id: the id or the name.
    /// - Throws: `conflict` when the container is being removed already.
    func remove(_ id: String) async throws(EngineError)

    /// The containers with all of these labels, also those that do not run.
    func containers(labels: [String: String]) async throws(EngineError) -> [EngineContainer]

    /// Closes the client. Nothing is asked of it after this.
    func shutdown() async
}

extension Engine: ContainerEngine {}

/// Makes the engine's client. It is called when the client is first needed.
package typealias ContainerEngineMaker = @Sendable () throws(EngineError) -> any ContainerEngine

/// The engine's client, made when it is first needed. Any thread may use it.
final class LazyEngine: Sendable {
    private let make: ContainerEngineMaker
    private let tasks: TaskPool
    private let made = Lock<Result<any ContainerEngine, EngineError>?>(nil)

    init(tasks: TaskPool, _ make: @escaping ContainerEngineMaker) {
        self.make = make
        self.tasks = tasks
    }

    /// The client. It is made once; so is the error when it cannot be made.
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
        // Another thread has made the client first.
        if !isOurs, case .success(let unused) = result { tasks.add { await unused.shutdown() } }
        return try kept.get()
    }

    /// Closes the client, if it was made.
    func shutdown() async {
        guard case .success(let engine) = made.withLock({ $0 }) else { return }
        await engine.shutdown()
    }
}
