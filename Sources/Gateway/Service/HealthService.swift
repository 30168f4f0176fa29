internal import CLinux
internal import GRPC
internal import GatewayProtocol
internal import Locks
internal import SwiftProtobuf
internal import Synchronization

/// `grpc.health.v1.Health`: one name a function, the empty name the gateway
/// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
///
/// `Check` is answered on the completion queue's thread that brings it, and `Watch` from a thread of health's own, so that both say
/// NOT_SERVING also while Swift's threads or the registry stand still.
final class HealthService: Sendable {
    typealias Serving = Grpc_Health_V1_HealthCheckResponse.ServingStatus

    private let functions: FunctionDirectory
    private let gate: CallGate
    private let watchdog: Watchdog
    private let maxMetadataBytes: Int
    private let watches = Lock<[ObjectIdentifier: HealthWatch]>([:])
    private let isRunning = Atomic<Bool>(false)
    private let isDue = Atomic<Bool>(false)
    private let wakeup = Semaphore()

    init(functions: FunctionDirectory, gate: CallGate, watchdog: Watchdog, maxMetadataBytes: Int) {
        self.functions = functions
        self.gate = gate
        self.watchdog = watchdog
        self.maxMetadataBytes = maxMetadataBytes
    }

    func register(on server: Server, boundTo queue: CompletionQueue) {
        server.register(GatewayMethod.check, boundTo: queue) { [self] call in
            do throws(Status) {
                call.finish(ByteBuffer(try check(call)))
            } catch {
                call.finish(error)
            }
        }
        server.registerStreaming(GatewayMethod.watch) { [self] call in
            let watch = HealthWatch(call, health: self)
            watches.withLock { $0[ObjectIdentifier(watch)] = watch }
            return watch
        }
    }

    // MARK: Check

    private func check(_ call: UnaryCall) throws(Status) -> [UInt8] {
        try checkMetadata(of: call)
        // A call without a message asks for the gateway: some load balancers cannot send bytes of zero, which begin a message.
        var name = ""
        if let message = call.takeRequest() { name = try Self.name(in: message, of: GatewayMethod.check) }
        let serving = serving(name)
        guard serving != .serviceUnknown else {
            throw Status(.notFound, "function \"\(name)\" is not deployed", metadata: Self.notExecuted)
        }
        return try Self.reply(serving)
    }

    private static let notExecuted: Metadata = ["dcf-executed": "no"]

    func checkMetadata(of call: CoreCall) throws(Status) {
        var bytes = 0
        call.forEachMetadata { bytes += $0.count + $1.count + 32 }
        if bytes > maxMetadataBytes { throw CallFailure.metadataTooLarge(bytes, limit: maxMetadataBytes).status }
    }

    /// Whose health a request asks for.
    static func name(in message: consuming ByteBuffer?, of method: String) throws(Status) -> String {
        guard let message else { throw Status(.invalidArgument, "\(method) needs a request", metadata: notExecuted) }
        if let refusal = message.refusal { throw CallFailure.refused(refusal).status }
        do {
            return try Grpc_Health_V1_HealthCheckRequest(serializedBytes: message.bytes).service
        } catch {
            throw Status(
                .invalidArgument, "the request is no \(Grpc_Health_V1_HealthCheckRequest.protoMessageName)",
                metadata: notExecuted)
        }
    }

    static func reply(_ serving: Serving) throws(Status) -> [UInt8] {
        var reply = Grpc_Health_V1_HealthCheckResponse()
        reply.status = serving
        do {
            return try reply.serializedBytes()
        } catch {
            throw Status(.internal, "the reply cannot be encoded: \(error)")
        }
    }

    /// Never waits: also for one who must not.
    func serving(_ name: String) -> Serving {
        let isServing = gate.isServing && !watchdog.isStalled
        if name.isEmpty { return isServing ? .serving : .notServing }
        guard let function = functions.function(named: name) else { return .serviceUnknown }
        guard isServing else { return .notServing }
        switch function.status {
        case .ready, .idle: return .serving
        case .degraded:
            let isReady = function.live.flatMap(\.replicas).contains { $0.phase == .ready }
            return isReady ? .serving : .notServing
        case .starting, .failed: return .notServing
        }
    }

    // MARK: Watch

    func forget(_ watch: HealthWatch) {
        let watch = watches.withLock { $0.removeValue(forKey: ObjectIdentifier(watch)) }
        withExtendedLifetime(watch) {}
    }

    /// Something has changed: those who watch are told, soon. From any thread.
    func wake() {
        if watches.withLock({ $0.isEmpty }) { return }
        if !isRunning.exchange(true, ordering: .acquiringAndReleasing), !BlockingThread.start({ [self] in run() }) {
            // The next change tries it again.
            return isRunning.store(false, ordering: .releasing)
        }
        if !isDue.exchange(true, ordering: .acquiringAndReleasing) { wakeup.post() }
    }

    /// Until the process ends.
    private func run() {
        _ = dcf_prctl_name("health")
        while true {
            wakeup.wait()
            isDue.store(false, ordering: .releasing)
            for watch in watches.withLock({ Array($0.values) }) { watch.look() }
        }
    }
}
