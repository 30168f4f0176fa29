internal import Calls
internal import ControlPlane
internal import GRPC
internal import GatewayProtocol
internal import Platform
internal import SwiftProtobuf
internal import Synchronization

/// Serves `grpc.health.v1.Health` (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). Each function has
/// its name; the empty name is the gateway.
///
/// `Check` is answered on the thread of the completion queue that brings it, and `Watch` on health's own thread. So
/// both can answer NOT_SERVING even while Swift's threads or the registry are stuck.
final class HealthService: Sendable {
    typealias Serving = Grpc_Health_V1_HealthCheckResponse.ServingStatus

    private let health: Health
    private let maxMetadataBytes: Int
    private let watches = Lock<[ObjectIdentifier: HealthWatch]>([:])
    private let isRunning = Atomic<Bool>(false)
    private let isDue = Atomic<Bool>(false)
    private let wakeup = Semaphore()

    init(_ health: Health, maxMetadataBytes: Int) {
        self.health = health
        self.maxMetadataBytes = maxMetadataBytes
    }

    func register(on server: Server, boundTo queue: CompletionQueue) {
        server.register(GatewayMethod.check.path, boundTo: queue) { [self] call in
            do throws(Status) {
                call.finish(ByteBuffer(try check(call)))
            } catch {
                call.finish(error)
            }
        }
        server.registerStreaming(GatewayMethod.watch.path) { [self] call in
            let watch = HealthWatch(call, health: self)
            watches.withLock { $0[ObjectIdentifier(watch)] = watch }
            return watch
        }
    }

    // MARK: Check

    private func check(_ call: UnaryCall) throws(Status) -> [UInt8] {
        try checkMetadata(of: call)
        // A call without a message asks for the gateway: some load balancers cannot send the zero bytes that begin a
        // message.
        var name = ""
        if let message = call.takeRequest() { name = try Self.name(in: message, of: .check) }
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
        if bytes > maxMetadataBytes { throw Status(.metadataTooLarge(bytes, limit: maxMetadataBytes)) }
    }

    /// The name in a request: a function, or empty for the gateway.
    static func name(in message: consuming ByteBuffer?, of method: GatewayMethod) throws(Status) -> String {
        guard let message else {
            throw Status(.invalidArgument, "\(method.path) needs a request", metadata: notExecuted)
        }
        if let refusal = message.refusal { throw Status(.refused(refusal)) }
        do {
            return try Grpc_Health_V1_HealthCheckRequest(serializedBytes: message.bytes).service
        } catch {
            throw Status(
                .invalidArgument, "the request is not a \(Grpc_Health_V1_HealthCheckRequest.protoMessageName)",
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

    /// The health of a function or of the gateway. Never waits.
    func serving(_ name: String) -> Serving {
        switch health.status(of: name) {
        case .serving: .serving
        case .notServing: .notServing
        case .unknown: .serviceUnknown
        }
    }

    // MARK: Watch

    /// Removes a watch that has ended.
    func forget(_ watch: HealthWatch) {
        let watch = watches.withLock { $0.removeValue(forKey: ObjectIdentifier(watch)) }
        withExtendedLifetime(watch) {}
    }

    /// Has all watches check their status soon, because something has changed. Any thread may call it.
    func wake() {
        if watches.withLock({ $0.isEmpty }) { return }
        if !isRunning.exchange(true, ordering: .acquiringAndReleasing),
            !Thread.detached(name: "health", { [self] in run() })
        {
            // The next change tries again to start the thread.
            return isRunning.store(false, ordering: .releasing)
        }
        if !isDue.exchange(true, ordering: .acquiringAndReleasing) { wakeup.post() }
    }

    /// The body of the thread, which runs until the process ends.
    private func run() {
        while true {
            wakeup.wait()
            isDue.store(false, ordering: .releasing)
            for watch in watches.withLock({ Array($0.values) }) { watch.look() }
        }
    }
}
