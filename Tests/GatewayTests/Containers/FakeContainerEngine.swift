import Engine
import Gateway
import Synchronization

/// An engine without containers: what it is asked is written down, and a test says what comes of it.
final class FakeContainerEngine: ContainerEngine {
    struct State {
        var architecture = "amd64"
        var images: [String: EngineImage] = [:]
        /// What a pull brings.
        var remote: [String: EngineImage] = [:]
        var made: [ContainerSpec] = []
        /// Calls, in order: `start 1`.
        var calls: [String] = []
        var others: [EngineContainer] = []
        var createFailure: EngineError?
        /// What the next container writes before it ends.
        var output: [(ContainerOutput, String)] = []
        var end = ContainerExit(status: 0, isOutOfMemory: false)
        /// Whether it runs until it is killed.
        var runsOn = false
        var killed: [CheckedContinuation<Void, Never>] = []
        var isKilled = false
    }

    let state = Mutex(State())

    var calls: [String] { state.withLock { $0.calls } }
    var made: [ContainerSpec] { state.withLock { $0.made } }

    private func note(_ call: String) {
        state.withLock { $0.calls.append(call) }
    }

    func info() async throws(EngineError) -> EngineInfo {
        EngineInfo(
            version: "1", architecture: state.withLock { $0.architecture }, processors: 1, memory: 1 << 30,
            isInSwarm: false)
    }

    func image(_ name: String) async throws(EngineError) -> EngineImage? {
        state.withLock { $0.images[name] }
    }

    func pull(
        _ reference: ImageReference, credentials: RegistryCredentials?, onProgress: (EngineProgress) -> Void
    ) async throws(EngineError) {
        note("pull \(reference) \(credentials == nil ? "-" : "credentials")")
        onProgress(EngineProgress(text: "layer 1 of 1"))
        let name = "\(reference)"
        state.withLock { $0.images[name] = $0.remote[name] }
    }

    func createContainer(_ spec: ContainerSpec) async throws(EngineError) -> String {
        if let failure = state.withLock({ $0.createFailure }) { throw failure }
        return state.withLock { state in
            state.made.append(spec)
            state.calls.append("create")
            return "\(state.made.count)"
        }
    }

    func start(_ id: String) async throws(EngineError) { note("start \(id)") }

    func pid(of id: String) async throws(EngineError) -> Int32 { 4_711 }

    func attach(
        _ id: String, input: (any AsyncSequence<[UInt8], Never> & Sendable)?, onAttached: () -> Void,
        _ receive: (ContainerOutput, [UInt8]) -> Void
    ) async throws(EngineError) {
        onAttached()
        for (stream, text) in state.withLock({ $0.output }) { receive(stream, Array(text.utf8)) }
    }

    func wait(_ id: String) async throws(EngineError) -> ContainerExit {
        if state.withLock({ $0.runsOn }) {
            await withCheckedContinuation { continuation in
                let isKilled = state.withLock { state in
                    if !state.isKilled { state.killed.append(continuation) }
                    return state.isKilled
                }
                if isKilled { continuation.resume() }
            }
        }
        return state.withLock { $0.end }
    }

    func kill(_ id: String, signal: Int32) async throws(EngineError) {
        note("signal \(id) \(signal)")
        guard signal == 9 else { return }
        let waiting = state.withLock { state in
            state.isKilled = true
            defer { state.killed = [] }
            return state.killed
        }
        for each in waiting { each.resume() }
    }

    func remove(_ id: String) async throws(EngineError) { note("remove \(id)") }

    func containers(labels: [String: String]) async throws(EngineError) -> [EngineContainer] {
        state.withLock { $0.others }
    }

    func shutdown() async { note("shutdown") }
}
