package import Engine

/// What the gateway asks of a manager of a Swarm. Every error is a sentence for people.
package protocol SwarmEngine: Sendable {
    func info() async throws(EngineError) -> EngineInfo

    /// - Returns: its id.
    func createService(_ spec: ServiceSpec, credentials: RegistryCredentials?) async throws(EngineError) -> String

    /// Nil where there is none of that name or id.
    func service(_ name: String) async throws(EngineError) -> SwarmServiceState?

    /// Those with all of these labels.
    func services(labels: [String: String]) async throws(EngineError) -> [SwarmServiceState]

    /// Changes how many tasks a service has, and labels of it; its tasks stay as they are.
    func updateService(
        _ id: String, replicas: Int, labels: [String: String], credentials: RegistryCredentials?
    ) async throws(EngineError)

    /// Nothing where there is none.
    func removeService(_ id: String) async throws(EngineError)

    /// Follows what the tasks of a service write until it is removed.
    func followService(
        _ id: String, since: Double, _ receive: (SwarmLogLine) -> Void
    ) async throws(EngineError)

    /// The tasks of all services with all of these labels.
    func tasks(labels: [String: String]) async throws(EngineError) -> [SwarmTask]

    func nodes() async throws(EngineError) -> [SwarmNode]

    /// Tells that something about nodes or services has changed, again and again.
    func followSwarm(_ receive: () -> Void) async throws(EngineError)

    /// Nil where there is none.
    func network(_ name: String) async throws(EngineError) -> SwarmNetwork?

    func createOverlay(_ name: String, isEncrypted: Bool, labels: [String: String]) async throws(EngineError)

    /// - Returns: its id.
    func createSecret(_ name: String, _ content: [UInt8], labels: [String: String]) async throws(EngineError) -> String

    /// The ids of those with all of these labels, by name.
    func secrets(labels: [String: String]) async throws(EngineError) -> [String: String]

    /// Nothing where there is none.
    func removeSecret(_ id: String) async throws(EngineError)

    /// It is not asked anything after this.
    func shutdown() async
}

extension Engine: SwarmEngine {}

/// Makes the engine's client.
package typealias SwarmEngineMaker = @Sendable () throws(EngineError) -> any SwarmEngine
