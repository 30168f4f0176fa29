internal import FunctionConfig
internal import GRPC
internal import GatewayProtocol
internal import SwiftProtobuf
internal import Synchronization

/// Every RPC but those that call functions: finds what a call is for, and answers it.
final class GatewayService: Sendable {
    private let management: ManagementService
    private let deploys: DeployService
    private let uploads: UploadService
    private let logs: LogService
    private let reflection: ReflectionService
    private let maxMetadataBytes: Int
    /// Settled when nothing is begun any more.
    private let draining: Promise<Void>
    private let changes = Atomic<Int>(0)

    init(
        management: ManagementService, deploys: DeployService, uploads: UploadService,
        logs: LogService, reflection: ReflectionService, maxMetadataBytes: Int, draining: Promise<Void>
    ) {
        self.management = management
        self.deploys = deploys
        self.uploads = uploads
        self.logs = logs
        self.reflection = reflection
        self.maxMetadataBytes = maxMetadataBytes
        self.draining = draining
    }

    /// Serves the calls that arrive until the server shuts down.
    func run(_ calls: AsyncStream<ServerCall>) async {
        await withDiscardingTaskGroup { group in
            for await call in calls {
                group.addTask { [self] in await serve(call) }
            }
        }
    }

    /// Answers one call; the work is cancelled when the caller leaves, and where it may take long also when the gateway drains.
    private func serve(_ call: ServerCall) async {
        let answer = OneAnswer(call)
        let isChange = Self.isChange(call.method)
        if isChange { changes.add(1, ordering: .relaxed) }
        defer { if isChange { changes.subtract(1, ordering: .releasing) } }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                var status: Status
                do throws(Status) {
                    status = try await dispatch(call)
                } catch {
                    status = error
                }
                // Whatever was under way is undone.
                let isCut = status.code == .cancelled || call.method == GatewayMethod.followLog
                if isCut, draining.current != nil { status = CallFailure.draining.status }
                await answer.give(status)
            }
            group.addTask { await call.closed() }
            if isChange || Self.goesOn(call.method) {
                group.addTask { [draining] in
                    guard await draining.value() != nil else { return }
                    // The rest of an upload may never come.
                    if call.method == GatewayMethod.upload { await answer.give(CallFailure.draining.status) }
                }
            }
            await group.next()
            group.cancelAll()
        }
    }

    /// Changes that are under way. They are given up when the gateway drains, which takes a moment.
    var unfinished: Int { changes.load(ordering: .acquiring) }

    /// Whether it starts functions, which may take long.
    private static func isChange(_ method: String) -> Bool {
        switch method {
        case GatewayMethod.deployWatch, GatewayMethod.deploy, GatewayMethod.update, GatewayMethod.restart,
            GatewayMethod.rollback, GatewayMethod.setTraffic:
            true
        default: false
        }
    }

    /// Whether it goes on for as long as its caller likes.
    private static func goesOn(_ method: String) -> Bool {
        method == GatewayMethod.upload || method == GatewayMethod.followLog
    }

    private func dispatch(_ call: ServerCall) async throws(Status) -> Status {
        guard call.metadata.bytes <= maxMetadataBytes else {
            throw CallFailure.metadataTooLarge(call.metadata.bytes, limit: maxMetadataBytes).status
        }
        switch call.method {
        case GatewayMethod.upload: try await uploads.serve(call)
        case GatewayMethod.deployWatch: try await deploys.watch(call)
        case GatewayMethod.deploy: try await deploys.unary(call, isUpdate: false)
        case GatewayMethod.update: try await deploys.unary(call, isUpdate: true)
        case GatewayMethod.followLog: try await logs.follow(call)
        case GatewayMethod.getLog: try await logs.get(call)
        case GatewayMethod.reflection, GatewayMethod.reflectionAlpha: try await reflection.serve(call)
        case GatewayMethod.list: try await management.list(call)
        case GatewayMethod.getMeta: try await management.getMeta(call)
        case GatewayMethod.delete: try await management.delete(call)
        case GatewayMethod.replicaUpdate: try await management.scale(call)
        case GatewayMethod.restart: try await management.restart(call)
        case GatewayMethod.versions: try await management.versions(call)
        case GatewayMethod.rollback: try await management.rollback(call)
        case GatewayMethod.setTraffic: try await management.setTraffic(call)
        case GatewayMethod.info: try await management.info(call)
        case GatewayMethod.healthCheck: try await management.healthCheck(call)
        default:
            throw Status(
                .unimplemented, "there is no method \(call.method); the server's reflection lists what there is",
                metadata: ["dcf-executed": "no"])
        }
        return .ok
    }
}
