internal import GRPC
internal import GatewayProtocol

/// Functions' logs.
final class LogService: Sendable {
    private static let tailBytesMax = 1 << 20

    private let registry: FunctionRegistry

    init(registry: FunctionRegistry) {
        self.registry = registry
    }

    func get(_ call: ServerCall) async throws(Status) {
        let request: Pb_FunctionRequest = try await call.request()
        var reply = Pb_Message()
        reply.msg = try await log(request.functionName).tail(bytes: Self.tailBytesMax)
        try await call.send(reply)
    }

    func follow(_ call: ServerCall) async throws(Status) {
        let request: Pb_LogRequest = try await call.request()
        let log = try await log(request.functionName)
        let lines = Int(clamping: request.tail)
        guard request.follow else {
            return try await send(lines > 0 ? log.tail(lines: lines) : log.tail(bytes: Self.tailBytesMax), call)
        }
        let (earlier, later) = log.follow(lines: lines)
        try await send(earlier, call)
        for await text in later {
            try await send(text, call)
        }
    }

    private func log(_ name: String) async throws(Status) -> FunctionLog {
        do throws(FunctionError) { return try await registry.function(named: name).log } catch { throw error.status }
    }

    private func send(_ text: String, _ call: ServerCall) async throws(Status) {
        guard !text.isEmpty else { return }
        var message = Pb_Messages()
        message.output = .init(text.utf8)
        try await call.send(message)
    }
}
