import Engine
import ControlPlane
import Synchronization

/// An engine without containers. It records the calls, and a test sets their results.
final class FakeContainerEngine: ContainerEngine {
    struct State {
        var architecture = "amd64"
        var images: [String: EngineImage] = [:]
        /// The images that a pull brings.
        var remote: [String: EngineImage] = [:]
        var made: [ContainerSpec] = []
        /// The calls in order, such as `start 1`.
        var calls: [String] = []
        var others: [EngineContainer] = []
        var createFailure: EngineError?
        var startFailure: EngineError?
        /// The errors of the next removals of a container, one for each.
        var removeFailures: [EngineError] = []
        /// The error of all calls while the engine is away.
        var outage: EngineError?
        /// Whether a container still runs after its wait has broken off.
        var isRunning = true
        var mounts: [ContainerMount]?
        var attachments = 0
        /// Whether a new container's image must be among `images`.
        var checksImages = false
        var pullFailure: EngineError?
        /// The output of the next container.
        var output: [(ContainerOutput, String)] = []
        var end = ContainerExit(status: 0, isOutOfMemory: false)
        /// Whether a container runs until it is killed.
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

    /// The engine stops or is killed: calls that wait fail.
    func goAway(_ failure: EngineError) {
        let waiting = state.withLock { state in
            state.outage = failure
            defer { state.killed = [] }
            return state.killed
        }
        for each in waiting { each.resume() }
    }

    func comeBack(isRunning: Bool) {
        state.withLock { state in
            state.outage = nil
            state.isRunning = isRunning
            if !isRunning { state.runsOn = false }
        }
    }

    private func requireEngine() throws(EngineError) {
        if let outage = state.withLock({ $0.outage }) { throw outage }
    }

    func image(_ name: String) async throws(EngineError) -> EngineImage? {
        try requireEngine()
        return state.withLock { state in
            state.images[name] ?? state.images.values.first { $0.id == name || $0.tags.contains(name) }
        }
    }

    func tag(_ image: String, as reference: ImageReference) async throws(EngineError) {
        note("tag \(image) \(reference)")
        state.withLock { state in
            guard let key = state.images.first(where: { $0.key == image || $0.value.id == image })?.key else { return }
            state.images[key]?.tags.append("\(reference)")
        }
    }

    func imageNames(like pattern: String) async throws(EngineError) -> [String] {
        let start = pattern.prefix { $0 != "*" }
        return state.withLock { $0.images.values.flatMap(\.tags).filter { $0.hasPrefix(start) }.sorted() }
    }

    func removeImage(_ name: String) async throws(EngineError) {
        note("rmi \(name)")
        state.withLock { state in
            for (key, image) in state.images {
                let tags = image.tags.filter { $0 != name }
                if tags.count < image.tags.count { state.images[key]?.tags = tags }
                if image.id == name || (tags.isEmpty && !image.tags.isEmpty && image.digests.isEmpty) {
                    state.images[key] = nil
                }
            }
        }
    }

    func pull(
        _ reference: ImageReference, credentials: RegistryCredentials?, onProgress: (EngineProgress) -> Void
    ) async throws(EngineError) {
        note("pull \(reference) \(credentials == nil ? "-" : "credentials")")
        if let failure = state.withLock({ $0.pullFailure }) { throw failure }
        onProgress(EngineProgress(text: "layer 1 of 1"))
        let name = "\(reference)"
        state.withLock { $0.images[name] = $0.remote[name] }
    }

    func createContainer(_ spec: ContainerSpec) async throws(EngineError) -> String {
        try requireEngine()
        if let failure = state.withLock({ $0.createFailure }) { throw failure }
        guard state.withLock({ !$0.checksImages || $0.images.values.contains { $0.id == spec.image } }) else {
            throw EngineError(.notFound, "No such image: \(spec.image)")
        }
        return state.withLock { state in
            state.made.append(spec)
            state.calls.append("create")
            return "\(state.made.count)"
        }
    }

    func start(_ id: String) async throws(EngineError) {
        note("start \(id)")
        if let failure = state.withLock({ $0.startFailure }) { throw failure }
        try requireEngine()
    }

    func state(of id: String) async throws(EngineError) -> ContainerState {
        note("state \(id)")
        try requireEngine()
        return state.withLock { ContainerState(isRunning: $0.isRunning, exit: $0.end) }
    }

    func mounts(of id: String) async throws(EngineError) -> [ContainerMount] {
        guard let mounts = state.withLock({ $0.mounts }) else { throw EngineError(.notFound, "No such container") }
        return mounts
    }

    func pid(of id: String) async throws(EngineError) -> Int32 { 4_711 }

    func attach(
        _ id: String, input: (any AsyncSequence<[UInt8], Never> & Sendable)?, onAttached: () -> Void,
        _ receive: (ContainerOutput, [UInt8]) -> Void
    ) async throws(EngineError) {
        try requireEngine()
        state.withLock { $0.attachments += 1 }
        onAttached()
        for (stream, text) in state.withLock({ $0.output }) { receive(stream, Array(text.utf8)) }
    }

    func wait(_ id: String) async throws(EngineError) -> ContainerExit {
        if state.withLock({ $0.runsOn }) {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    let isOver = state.isKilled || state.outage != nil
                    if !isOver { state.killed.append(continuation) }
                    return isOver
                }
                if isOver { continuation.resume() }
            }
        }
        try requireEngine()
        return state.withLock { $0.end }
    }

    func kill(_ id: String, signal: Int32) async throws(EngineError) {
        note("signal \(id) \(signal)")
        try requireEngine()
        if signal == 9 { end() }
    }

    /// The container ends.
    func end() {
        let waiting = state.withLock { state in
            state.isKilled = true
            defer { state.killed = [] }
            return state.killed
        }
        for each in waiting { each.resume() }
    }

    func remove(_ id: String) async throws(EngineError) {
        try requireEngine()
        note("remove \(id)")
        let failure = state.withLock { $0.removeFailures.isEmpty ? nil : $0.removeFailures.removeFirst() }
        if let failure { throw failure }
    }

    func containers(labels: [String: String]) async throws(EngineError) -> [EngineContainer] {
        state.withLock { $0.others }
    }

    func shutdown() async { note("shutdown") }
}
