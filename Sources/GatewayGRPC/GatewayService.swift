internal import Calls
internal import ControlPlane
internal import GatewayProtocol
internal import GRPC
internal import Platform
internal import SwiftProtobuf
internal import Synchronization

/// Serves every RPC except those that call functions and those of health: finds the RPC that a call is for, and answers
/// it.
final class GatewayService: Sendable {
    private let control: ControlPlane
    private let gate: CallGate
    private let reflection = ReflectionService()
    private let maxMetadataBytes: Int
    private let changes = Atomic<Int>(0)

    init(_ control: ControlPlane, gate: CallGate, maxMetadataBytes: Int) {
        self.control = control
        self.gate = gate
        self.maxMetadataBytes = maxMetadataBytes
    }

    /// Serves the calls that arrive until the server shuts down.
    func run(_ calls: AsyncStream<ServerCall>) async {
        await withDiscardingTaskGroup { group in
            for await call in calls {
                group.addTask { [self] in await serve(call) }
            }
        }
    }

    /// How many changes are under way. They are cancelled when the gateway drains, which takes a moment.
    var changesUnderWay: Int { changes.load(ordering: .acquiring) }

    /// Answers one call. The work is cancelled when the caller leaves. Work that may take long is cancelled also when
    /// the gateway drains.
    private func serve(_ call: ServerCall) async {
        let answer = OneAnswer(call)
        let method = GatewayMethod(rawValue: call.method)
        let isChange = method?.isChange == true
        let draining = control.draining
        if isChange { changes.add(1, ordering: .relaxed) }
        defer { if isChange { changes.subtract(1, ordering: .releasing) } }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                var status = Status.ok
                do throws(Status) { try await dispatch(call, method) } catch { status = error }
                // Cancelled work has been undone.
                let isCut = status.code == .cancelled || method == .followLog
                if isCut, draining.current != nil { status = Status(.draining) }
                await answer.give(status)
            }
            group.addTask { await call.closed() }
            if isChange || method == .upload || method == .followLog {
                group.addTask {
                    guard await draining.value() != nil else { return }
                    // The rest of an upload may never come.
                    if method == .upload { await answer.give(Status(.draining)) }
                }
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func dispatch(_ call: ServerCall, _ method: GatewayMethod?) async throws(Status) {
        guard call.metadata.bytes <= maxMetadataBytes else {
            throw Status(.metadataTooLarge(call.metadata.bytes, limit: maxMetadataBytes))
        }
        let (management, deploys, logs) = (control.management, control.deploys, control.logs)
        switch method {
        case .upload: try await upload(call)
        case .deployWatch:
            try await stream(call) { (request, send) async throws(CallFailure) in
                try await deploys.deploy(request, send)
            }
        case .followLog:
            try await stream(call) { (request, send) async throws(CallFailure) in try await logs.follow(request, send) }
        case .reflection, .reflectionAlpha: try await reflection.serve(call)
        case .deploy: try await answer(call) { request async throws(CallFailure) in try await deploys.deploy(request) }
        case .update: try await answer(call) { request async throws(CallFailure) in try await deploys.update(request) }
        case .getLog: try await answer(call) { request async throws(CallFailure) in try await logs.get(request) }
        case .list: try await answer(call) { request async throws(CallFailure) in await management.list(request) }
        case .getMeta:
            try await answer(call) { request async throws(CallFailure) in try await management.getMeta(request) }
        case .delete:
            try await answer(call) { request async throws(CallFailure) in try await management.delete(request) }
        case .replicaUpdate:
            try await answer(call) { request async throws(CallFailure) in try await management.scale(request) }
        case .restart:
            try await answer(call) { request async throws(CallFailure) in try await management.restart(request) }
        case .versions:
            try await answer(call) { request async throws(CallFailure) in try await management.versions(request) }
        case .rollback:
            try await answer(call) { request async throws(CallFailure) in try await management.rollback(request) }
        case .setTraffic:
            try await answer(call) { request async throws(CallFailure) in try await management.setTraffic(request) }
        case .info: try await answer(call) { request async throws(CallFailure) in await management.info(request) }
        case .healthCheck:
            try await answer(call) { [gate] (_: Pb_Empty) async throws(CallFailure) -> Pb_Message in
                guard gate.isOpen else { throw .draining }
                var reply = Pb_Message()
                reply.msg = "OK"
                return reply
            }
        case .invoke, .invokes, .invokeBytes, .check, .watch, nil:
            throw Status(
                .unimplemented, "there is no method \(call.method); the server's reflection lists what there is",
                metadata: ["dcf-executed": "no"])
        }
    }

    /// Answers a call with one request and one reply.
    private func answer<Request: Message, Reply: Message>(
        _ call: ServerCall, _ work: (Request) async throws(CallFailure) -> Reply
    ) async throws(Status) {
        let request: Request = try await call.request()
        let reply: Reply
        do throws(CallFailure) { reply = try await work(request) } catch { throw Status(error) }
        try await call.send(reply)
    }

    /// Answers a call with one request and any number of replies.
    private func stream<Request: Message, Reply: Message>(
        _ call: ServerCall,
        _ work: (Request, (Reply) async throws(Status) -> Void) async throws(CallFailure) -> Result<Void, Status>
    ) async throws(Status) {
        let request: Request = try await call.request()
        let sent: Result<Void, Status>
        do throws(CallFailure) {
            sent = try await work(request) { reply async throws(Status) in try await call.send(reply) }
        } catch { throw Status(error) }
        try sent.get()
    }

    private func upload(_ call: ServerCall) async throws(Status) {
        guard let first: Pb_UploadPiece = try await call.nextRequest() else {
            throw Status(
                .invalidArgument, "an upload begins with the bundle's SHA-256", metadata: ["dcf-executed": "no"])
        }
        let reply: Result<Pb_UploadReply, Status>
        do throws(CallFailure) {
            reply = try await control.uploads.upload(first) { () async throws(Status) in try await Self.next(call) }
        } catch { throw Status(error) }
        try await call.send(try reply.get())
    }

    /// The next piece of an upload. A piece that does not parse ends the upload like a missing one: the bundle is then
    /// not complete. A piece that is refused ends it with the reason.
    private static func next(_ call: ServerCall) async throws(Status) -> Pb_UploadPiece? {
        do throws(Status) { return try await call.nextRequest() } catch {
            if error.code == .invalidArgument { return nil }
            throw error
        }
    }
}

/// Finishes a call once, with the first of several answers. Any task may give one.
final class OneAnswer: Sendable {
    private let call: ServerCall
    private let isGiven = Lock(false)

    init(_ call: ServerCall) {
        self.call = call
    }

    func give(_ status: Status) async {
        let isFirst = isGiven.withLock { isGiven in
            defer { isGiven = true }
            return !isGiven
        }
        if isFirst { await call.finish(status) }
    }
}
