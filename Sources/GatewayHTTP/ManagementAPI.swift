internal import Calls
internal import ControlPlane
internal import GatewayProtocol
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore
internal import Platform
internal import SwiftProtobuf

/// `/api/v1`: the operations of `pb.Gateway` over HTTP. Requests and responses are its messages as JSON, by
/// protobuf's mapping (https://protobuf.dev/programming-guides/json/) with numbers of 64 bits as numbers.
struct ManagementAPI: Sendable {
    /// The most bytes of a message.
    private static let messageBytesMax = 4 << 20
    private static let lines = "application/x-ndjson"

    /// How many lines wait for a caller that does not read. Beyond that the oldest are dropped.
    private static let waitingMax = 10_000

    private let control: ControlPlane

    init(_ control: ControlPlane) {
        self.control = control
    }

    func add(to router: Router<HTTPContext>) {
        let (management, deploys) = (control.management, control.deploys)
        router.route("/api/v1/info", [.get: { _, _ in try answer(await management.info(Pb_Empty())) }])
        router.route(
            "/api/v1/functions",
            [
                .get: { _, _ in try answer(await management.list(Pb_Empty())) },
                .post: { request, context in try await deploy(request, context) },
            ])
        router.route(
            "/api/v1/functions/:name",
            [
                .get: { _, context in try answer(try await management.getMeta(function(context))) },
                .put: { request, context in
                    let message = try await message(request, for: context, \Pb_CreateFunctionRequest.service)
                    return try await answer(context) { () async throws(CallFailure) in try await deploys.update(message)
                    }
                },
                .delete: { _, context in
                    var message = Pb_DeleteFunctionRequest()
                    message.functionName = try context.name
                    return try answer(try await management.delete(message))
                },
            ])
        router.route(
            "/api/v1/functions/:name/replicas",
            [
                .put: { request, context in
                    let message = try await message(request, for: context, \Pb_ScaleServiceRequest.serviceName)
                    return try answer(try await management.scale(message))
                }
            ])
        router.route(
            "/api/v1/functions/:name/traffic",
            [
                .put: { request, context in
                    let message = try await message(request, for: context, \Pb_TrafficRequest.functionName)
                    return try await answer(context) { () async throws(CallFailure) in
                        try await management.setTraffic(message)
                    }
                }
            ])
        router.route(
            "/api/v1/functions/:name/versions",
            [.get: { _, context in try answer(try await management.versions(function(context))) }])
        router.route(
            "/api/v1/functions/:name/rollback",
            [
                .post: { request, context in
                    let message = try await message(request, for: context, \Pb_RollbackRequest.functionName)
                    return try await answer(context) { () async throws(CallFailure) in
                        try await management.rollback(message)
                    }
                }
            ])
        router.route(
            "/api/v1/functions/:name/restart",
            [
                .post: { _, context in
                    let message = try function(context)
                    return try await answer(context) { () async throws(CallFailure) in
                        try await management.restart(message)
                    }
                }
            ])
        router.route(
            "/api/v1/functions/:name/log", [.get: { request, context in try await log(request, context) }])
        router.route(
            "/api/v1/bundles/:sha256", [.put: { request, context in try await upload(request, context) }])
    }

    // MARK: Messages

    /// The message in a request's body. An empty body is an empty message.
    private func message<M: Message>(_ request: Request) async throws -> M {
        let body: ByteBuffer
        do { body = try await request.body.collect(upTo: Self.messageBytesMax) } catch is NIOTooManyBytesError {
            throw CallFailure.inputTooLarge(
                request.headers[.contentLength].flatMap { Int($0) } ?? Self.messageBytesMax + 1,
                limit: Self.messageBytesMax)
        }
        guard body.readableBytes > 0 else { return M() }
        do { return try M(jsonUTF8Bytes: Array(body.readableBytesView)) } catch {
            throw CallFailure(
                .invalidArgument, executed: .no,
                "the body is not a \(M.protoMessageName) of Protos/gateway.proto as JSON: \(error)")
        }
    }

    /// The message in a request's body, for the function that the path names.
    private func message<M: Message>(
        _ request: Request, for context: HTTPContext, _ name: WritableKeyPath<M, String>
    ) async throws -> M {
        var message: M = try await message(request)
        message[keyPath: name] = try context.name
        return message
    }

    private func function(_ context: HTTPContext) throws -> Pb_FunctionRequest {
        var message = Pb_FunctionRequest()
        message.functionName = try context.name
        return message
    }

    private static func json(_ message: some Message) throws -> ByteBuffer {
        var options = JSONEncodingOptions()
        options.alwaysPrintInt64sAsNumbers = true
        options.useDeterministicOrdering = true
        let bytes: [UInt8] = try message.jsonUTF8Bytes(options: options)
        return ByteBuffer(bytes: bytes)
    }

    private func answer(_ message: some Message) throws -> Response {
        var body = try Self.json(message)
        body.writeStaticString("\n")
        return Response(
            status: .ok, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: body))
    }

    // MARK: Work that takes long

    /// Does work that is given up when the caller leaves, or the gateway stops.
    private func change<Value: Sendable>(
        _ context: HTTPContext, _ work: @escaping @Sendable () async throws(CallFailure) -> Value
    ) async throws -> Value {
        let task = Task { () -> Result<Value, CallFailure> in
            do throws(CallFailure) { return .success(try await work()) } catch { return .failure(error) }
        }
        return try await ended(task, context).get()
    }

    /// Answers with the outcome of such work.
    private func answer<M: Message>(
        _ context: HTTPContext, _ work: @escaping @Sendable () async throws(CallFailure) -> M
    ) async throws -> Response {
        try answer(try await change(context, work))
    }

    private func ended<Value: Sendable>(
        _ task: Task<Result<Value, CallFailure>, Never>, _ context: HTTPContext
    ) async -> Result<Value, CallFailure> {
        context.channel.closeFuture.whenComplete { _ in task.cancel() }
        let draining = control.draining
        let watch = Task {
            if await draining.value() != nil { task.cancel() }
        }
        let outcome = await task.value
        watch.cancel()
        if case .failure(let failure) = outcome, failure.code == .cancelled, draining.current != nil {
            return .failure(.draining)
        }
        return outcome
    }

    /// Answers with a line of JSON for each item that `work` sends. A failure before the first of them is a status;
    /// after it, it is a line with `error`.
    ///
    /// - Parameter beginsAtOnce: whether the response begins before there is an item, since that may take long.
    private func stream<Item: Sendable>(
        _ context: HTTPContext, beginsAtOnce: Bool = false,
        _ encode: @escaping @Sendable (Item) throws -> ByteBuffer,
        _ work: @escaping @Sendable (_ send: @escaping @Sendable (Item) -> Void) async throws(CallFailure) -> Void
    ) async throws -> Response {
        // Bounded: a caller that does not read must not fill the memory.
        let (items, feed) = AsyncStream.makeStream(of: Item.self, bufferingPolicy: .bufferingNewest(Self.waitingMax))
        let task = Task { () -> Result<Void, CallFailure> in
            defer { feed.finish() }
            do throws(CallFailure) { return .success(try await work { feed.yield($0) }) } catch {
                return .failure(error)
            }
        }
        let outcome = Task { await ended(task, context) }
        let next = NextItem(items.makeAsyncIterator())
        let first = beginsAtOnce ? nil : try await next()
        if !beginsAtOnce, first == nil, case .failure(let failure) = await outcome.value { throw failure }
        return Response(
            status: .ok, headers: [.contentType: Self.lines, .cacheControl: "no-cache"],
            body: ResponseBody { writer in
                do {
                    var item = beginsAtOnce ? try await next() : first
                    while let current = item {
                        var line = try encode(current)
                        line.writeStaticString("\n")
                        try await writer.write(line)
                        item = try await next()
                    }
                } catch {
                    task.cancel()
                    throw error
                }
                if case .failure(let failure) = await outcome.value {
                    var line = JSONText.encode(FailureText(failure))
                    line.writeStaticString("\n")
                    try await writer.write(line)
                }
                try await writer.finish(nil)
            })
    }

    // MARK: Deploys, logs and bundles

    private func deploy(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let message: Pb_CreateFunctionRequest = try await message(request)
        let deploys = control.deploys
        guard request.headers[.accept]?.contains(Self.lines) == true else {
            return try await answer(context) { () async throws(CallFailure) in try await deploys.deploy(message) }
        }
        return try await stream(context, { (event: Pb_DeployEvent) in try Self.json(event) }) {
            (send) async throws(CallFailure) in
            _ = try await deploys.deploy(message) { (event: Pb_DeployEvent) async throws(Never) in send(event) }
        }
    }

    private func log(_ request: Request, _ context: HTTPContext) async throws -> Response {
        var message = Pb_LogRequest()
        message.functionName = try context.name
        for (key, value) in request.uri.queryParameters {
            switch key {
            case "tail":
                guard let lines = UInt64(value) else { throw Self.badParameter("tail", value, "a number of lines") }
                message.tail = lines
            case "follow":
                guard let follow = Bool(String(value)) else {
                    throw Self.badParameter("follow", value, "true or false")
                }
                message.follow = follow
            case "request": message.requestID = String(value)
            default:
                throw CallFailure(
                    .invalidArgument, executed: .no,
                    "there is no parameter \"\(key.prefix(32))\"; there are tail, follow and request")
            }
        }
        let logs = control.logs
        let wanted = message
        if wanted.follow { _ = try await control.management.getMeta(function(context)) }
        return try await stream(
            context, beginsAtOnce: wanted.follow, { (record: LogRecord) in JSONText.encode(record) }
        ) {
            (send) async throws(CallFailure) in
            var records = LogRecords()
            _ = try await logs.follow(wanted) { (text: Pb_Messages) async throws(Never) in
                for record in records.append(text.output) { send(record) }
            }
        }
    }

    private static func badParameter(_ name: String, _ value: Substring, _ expected: String) -> CallFailure {
        CallFailure(.invalidArgument, executed: .no, "\(name)=\(value.prefix(32)) is not \(expected)")
    }

    private func upload(_ request: Request, _ context: HTTPContext) async throws -> Response {
        var first = Pb_UploadPiece()
        first.sha256 = context.parameters.get("sha256") ?? ""
        guard let size = request.headers[.contentLength].flatMap({ UInt64($0) }) else {
            return .text(.lengthRequired, "a bundle is sent with its Content-Length")
        }
        first.size = size
        let uploads = control.uploads
        let next = NextItem(request.body.makeAsyncIterator())
        let sent = first
        let reply = try await change(context) { () async throws(CallFailure) in
            let outcome = try await uploads.upload(sent) { () async throws(any Error) -> Pb_UploadPiece? in
                guard let bytes = try await next() else { return nil }
                var piece = Pb_UploadPiece()
                piece.data = .init(bytes.readableBytesView)
                return piece
            }
            guard case .success(let reply) = outcome else { throw .cancelled(executed: .no) }
            return reply
        }
        var response = try answer(reply)
        if reply.stored { response.status = .created }
        return response
    }
}
