package import Engine

/// What the gateway asks of a manager of a Swarm. The text of each error is a sentence for the user.
package protocol SwarmEngine: Sendable {
    func info() async throws(EngineError) -> EngineInfo

    /// - Returns: the service's id.
    func createService(_ spec: ServiceSpec, credentials: RegistryCredentials?) async throws(EngineError) -> String

    /// Finds a service by its name or id; nil when there is none.
    func service(_ name: String) async throws(EngineError) -> SwarmServiceState?

    /// The services with all of these labels.
    func services(labels: [String: String]) async throws(EngineError) -> [SwarmServiceState]

    /// Changes the number of a service's tasks, and its labels. The tasks that stay are not restarted.
    func updateService(
        _ id: String, replicas: Int, labels: [String: String], credentials: RegistryCredentials?
    ) async throws(EngineError)

    /// Removes a service. Does nothing when there is none.
    func removeService(_ id: String) async throws(EngineError)

    /// Follows the output of a service's tasks until the service is removed.
    func followService(
        _ id: String, since: Double, _ receive: (SwarmLogLine) -> Void
    ) async throws(EngineError)

    /// The tasks of all services with all of these labels.
    func tasks(labels: [String: String]) async throws(EngineError) -> [SwarmTask]

    func nodes() async throws(EngineError) -> [SwarmNode]

    /// Calls `receive` at each change of the Swarm's nodes or services.
    func followSwarm(_ receive: () -> Void) async throws(EngineError)

    /// Finds a network; nil when there is none.
    func network(_ name: String) async throws(EngineError) -> SwarmNetwork?

    func createOverlay(_ name: String, isEncrypted: Bool, labels: [String: String]) async throws(EngineError)

    /// - Returns: the secret's id.
    func createSecret(_ name: String, _ content: [UInt8], labels: [String: String]) async throws(EngineError) -> String

    /// The ids of the secrets with all of these labels, by name.
    func secrets(labels: [String: String]) async throws(EngineError) -> [String: String]

    /// Removes a secret. Does nothing when there is none.
    func removeSecret(_ id: String) async throws(EngineError)

    /// Closes the client. Nothing is asked of it after this.
    func shutdown() async
}

extension Engine: SwarmEngine {}

/// Makes the engine's client.
package typealias SwarmEngineMaker = @Sendable () throws(EngineError) -> any SwarmEngine
