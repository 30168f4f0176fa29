internal import GRPC
internal import GatewayProtocol
internal import Synchronization

/// Functions' logs.
final class LogService: Sendable {
    private static let tailBytesMax = 1 << 20
    /// Reads that may wait for their disks at a time.
    private static let readsMax = 16

    private let registry: FunctionRegistry
    private let reads = Atomic<Int>(0)

    init(registry: FunctionRegistry) {
        self.registry = registry
    }

    func get(_ call: ServerCall) async throws(Status) {
        let request: Pb_FunctionRequest = try await call.request()
        let log = try await log(request.functionName)
        let requestID = request.requestID
        var reply = Pb_Message()
        reply.msg = try await reading { Self.tail(log, lines: 0, requestID: requestID) }
        try await call.send(reply)
    }

    func follow(_ call: ServerCall) async throws(Status) {
        let request: Pb_LogRequest = try await call.request()
        let log = try await log(request.functionName)
        let lines = Int(clamping: request.tail)
        let requestID = request.requestID
        guard request.follow else {
            return try await send(try await reading { Self.tail(log, lines: lines, requestID: requestID) }, call)
        }
        let (earlier, later) = try await reading {
            log.follow(lines: lines, ofRequest: requestID.isEmpty ? nil : requestID)
        }
        try await send(earlier, call)
        for await text in later where requestID.isEmpty || FunctionLog.isLine(text.utf8, ofRequest: requestID) {
            try await send(text, call)
        }
    }

    /// - Parameters:
    ///   - lines: how many at most; 0: what fits into an answer.
    ///   - requestID: only what was written for this request; empty: everything.
    private static func tail(_ log: FunctionLog, lines: Int, requestID: String) -> String {
        guard requestID.isEmpty else {
            return log.tail(ofRequest: requestID, lines: lines > 0 ? lines : .max, bytes: tailBytesMax)
        }
        return lines > 0 ? log.tail(lines: lines) : log.tail(bytes: tailBytesMax)
    }

    /// Reads on a thread of its own: a disk may take its time, and no other work is to wait for that.
    private func reading<Value: Sendable>(_ read: @escaping @Sendable () -> Value) async throws(Status) -> Value {
        let answer = Promise<Value>()
        let isStarted =
            reads.add(1, ordering: .relaxed).newValue <= Self.readsMax
            && BlockingThread.start { [self] in
                let value = read()
                reads.subtract(1, ordering: .relaxed)
                answer.settle(value)
            }
        guard isStarted else {
            reads.subtract(1, ordering: .relaxed)
            throw Status(
                .resourceExhausted,
                "\(Self.readsMax) reads of logs wait for their disks already, or no thread can be had",
                metadata: ["dcf-executed": "no"])
        }
        guard let value = await answer.value() else { throw Status(.cancelled, "the caller has left") }
        return value
    }

    private func log(_ name: String) async throws(Status) -> FunctionLog {
        do throws(FunctionError) { return try await registry.log(of: name) } catch { throw error.status }
    }

    private func send(_ text: String, _ call: ServerCall) async throws(Status) {
        guard !text.isEmpty else { return }
        var message = Pb_Messages()
        message.output = .init(text.utf8)
        try await call.send(message)
    }
}
