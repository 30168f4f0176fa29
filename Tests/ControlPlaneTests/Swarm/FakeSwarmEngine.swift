import Engine
import ControlPlane
import Synchronization

/// A Swarm without machines. It records the calls, and a test sets their results.
final class FakeSwarmEngine: SwarmEngine {
    struct State {
        var info = EngineInfo(
            version: "1", architecture: "amd64", processors: 1, memory: 1 << 30, isInSwarm: true, isManager: true,
            nodeAddress: "10.0.0.1")
        var network: SwarmNetwork?
        /// The network at the look after the next one.
        var made: SwarmNetwork?
        /// The calls in order, such as `scale dcf-f-v3-aaaaaaaa 2`.
        var calls: [String] = []
        var specs: [String: ServiceSpec] = [:]
        var secrets: [String: [UInt8]] = [:]
        var others: [SwarmServiceState] = []
        var tasks: [SwarmTask] = []
        var createFailure: EngineError?
        var waiting: [(Int, CheckedContinuation<Void, Never>)] = []
    }

    let state = Mutex(State())

    var calls: [String] { state.withLock { $0.calls } }

    /// How many tasks a service should have.
    func size(of service: String) -> Int? { state.withLock { $0.specs[service]?.replicas } }

    /// Returns when this many calls have come.
    func waitForCalls(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.calls.count < count { state.waiting.append((count, continuation)) }
                return state.calls.count >= count
            }
            if isDone { continuation.resume() }
        }
    }

    private func note(_ call: String) {
        let done = state.withLock { state in
            state.calls.append(call)
            let count = state.calls.count
            defer { state.waiting.removeAll { $0.0 <= count } }
            return state.waiting.filter { $0.0 <= count }.map(\.1)
        }
        for each in done { each.resume() }
    }

    func info() async throws(EngineError) -> EngineInfo { state.withLock { $0.info } }

    func createService(_ spec: ServiceSpec, credentials: RegistryCredentials?) async throws(EngineError) -> String {
        if let failure = state.withLock({ $0.createFailure }) { throw failure }
        state.withLock { $0.specs[spec.name] = spec }
        note("create \(spec.name) \(spec.replicas)\(credentials == nil ? "" : " credentials")")
        return spec.name
    }

    func service(_ name: String) async throws(EngineError) -> SwarmServiceState? {
        state.withLock { $0.others.first { $0.name == name || $0.id == name } }
    }

    func services(labels: [String: String]) async throws(EngineError) -> [SwarmServiceState] {
        state.withLock { $0.others }
    }

    func updateService(
        _ id: String, replicas: Int, labels: [String: String], credentials: RegistryCredentials?
    ) async throws(EngineError) {
        state.withLock { state in
            state.specs[id]?.replicas = replicas
            state.specs[id]?.labels.merge(labels) { $1 }
        }
        note("scale \(id) \(replicas)")
    }

    func removeService(_ id: String) async throws(EngineError) {
        state.withLock { state in
            state.specs[id] = nil
            state.others.removeAll { $0.id == id }
            state.createFailure = nil
        }
        note("remove \(id)")
    }

    func followService(_ id: String, since: Double, _ receive: (SwarmLogLine) -> Void) async throws(EngineError) {
        try? await Task.sleep(for: .seconds(3_600))
    }

    func tasks(labels: [String: String]) async throws(EngineError) -> [SwarmTask] { state.withLock { $0.tasks } }

    func nodes() async throws(EngineError) -> [SwarmNode] { [SwarmNode(id: "n", name: "node2", state: "ready")] }

    func followSwarm(_ receive: () -> Void) async throws(EngineError) {
        try? await Task.sleep(for: .seconds(3_600))
    }

    /// A new network is visible before it has its driver.
    func network(_ name: String) async throws(EngineError) -> SwarmNetwork? {
        state.withLock { state in
            defer { (state.network, state.made) = (state.made ?? state.network, nil) }
            return state.network
        }
    }

    func createOverlay(_ name: String, isEncrypted: Bool, labels: [String: String]) async throws(EngineError) {
        state.withLock {
            $0.network = SwarmNetwork(id: "o", driver: "", isEncrypted: false, isAttachable: true)
            $0.made = SwarmNetwork(id: "o", driver: "overlay", isEncrypted: isEncrypted, isAttachable: true)
        }
        note("overlay \(name)\(isEncrypted ? " encrypted" : "")")
    }

    func createSecret(
        _ name: String, _ content: [UInt8], labels: [String: String]
    ) async throws(EngineError) -> String {
        state.withLock { $0.secrets[name] = content }
        return name
    }

    func secrets(labels: [String: String]) async throws(EngineError) -> [String: String] { [:] }

    func removeSecret(_ id: String) async throws(EngineError) {
        state.withLock { $0.secrets[id] = nil }
    }

    func shutdown() async {}
}
