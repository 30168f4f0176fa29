package import Engine

/// What the gateway asks of the engine that runs containers on this machine. Every error is a sentence for people.
package protocol ContainerEngine: Sendable {
    func info() async throws(EngineError) -> EngineInfo

    /// An image that the engine has; nil when it has none of that name.
    func image(_ name: String) async throws(EngineError) -> EngineImage?

    /// Gets an image from its registry.
    func pull(
        _ reference: ImageReference, credentials: RegistryCredentials?, onProgress: (EngineProgress) -> Void
    ) async throws(EngineError)

    /// Gives an image one more name.
    func tag(_ image: String, as reference: ImageReference) async throws(EngineError)

    /// All names of images that fit a pattern, as `name/*`.
    func imageNames(like pattern: String) async throws(EngineError) -> [String]

    /// Takes a name away, and the image with its last one; by its id an image without a name. Nothing where there is none.
    ///
    /// - Throws: `conflict` where a container is made of it, or other names are left.
    func removeImage(_ name: String) async throws(EngineError)

    /// Makes a container, which does not run yet.
    ///
    /// - Returns: its id.
    func createContainer(_ spec: ContainerSpec) async throws(EngineError) -> String

    func start(_ id: String) async throws(EngineError)

    /// The number of its first process on this machine; 0 where it does not run.
    func pid(of id: String) async throws(EngineError) -> Int32

    /// Whether it runs, and how it ended if it does not. Throws `notFound` where there is none.
    func state(of id: String) async throws(EngineError) -> ContainerState

    /// What it has from outside. Throws `notFound` where there is none.
    func mounts(of id: String) async throws(EngineError) -> [ContainerMount]

    /// Follows what it writes until it ends; nothing is missed after `onAttached`.
    func attach(
        _ id: String, input: (any AsyncSequence<[UInt8], Never> & Sendable)?, onAttached: () -> Void,
        _ receive: (ContainerOutput, [UInt8]) -> Void
    ) async throws(EngineError)

    /// Waits for its end.
    func wait(_ id: String) async throws(EngineError) -> ContainerExit

    /// Sends its first process a signal; nothing where it does not run.
    func kill(_ id: String, signal: Int32) async throws(EngineError)

    /// Ends it, if it runs, and takes it away with its anonymous volumes; nothing where there is none. Takes a name, too.
    ///
    /// - Throws: `conflict` where it is being taken away already.
    func remove(_ id: String) async throws(EngineError)

    /// Those with all of these labels, also those that do not run.
    func containers(labels: [String: String]) async throws(EngineError) -> [EngineContainer]

    /// It is not asked anything after this.
    func shutdown() async
}

extension Engine: ContainerEngine {}

/// Makes the engine's client; called when it is first needed.
package typealias ContainerEngineMaker = @Sendable () throws(EngineError) -> any ContainerEngine
