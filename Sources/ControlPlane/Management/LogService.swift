package import Calls
package import GatewayProtocol
internal import Platform
internal import Synchronization

/// Reads the logs of functions.
package final class LogService: Sendable {
    private static let tailBytesMax = 1 << 20
    /// How many reads may run at a time, each on a thread of its own.
    private static let readsMax = 16

    private let registry: FunctionRegistry
    private let reads = Atomic<Int>(0)

    init(registry: FunctionRegistry) {
        self.registry = registry
    }

    package func get(_ request: Pb_FunctionRequest) async throws(CallFailure) -> Pb_Message {
        let log = try await log(request.functionName)
        let requestID = request.requestID
        var reply = Pb_Message()
        reply.msg = try await reading { Self.tail(log, lines: 0, requestID: requestID) }
        return reply
    }

    /// Sends the content of a log. With `Follow` it also sends new lines until the task is cancelled.
    ///
    /// - Parameter send: gets the text, piece by piece.
    package func follow<Failure: Error>(
        _ request: Pb_LogRequest, _ send: (Pb_Messages) async throws(Failure) -> Void
    ) async throws(CallFailure) -> Result<Void, Failure> {
        let log = try await log(request.functionName)
        let lines = Int(clamping: request.tail)
        let requestID = request.requestID
        guard request.follow else {
            let text = try await reading { Self.tail(log, lines: lines, requestID: requestID) }
            return await Self.send(text, send)
        }
        let (earlier, later) = try await reading {
            log.follow(lines: lines, ofRequest: requestID.isEmpty ? nil : requestID)
        }
        let sent = await Self.send(earlier, send)
        guard case .success = sent else { return sent }
        for await text in later where requestID.isEmpty || FunctionLog.isLine(text.utf8, ofRequest: requestID) {
            let sent = await Self.send(text, send)
            guard case .success = sent else { return sent }
        }
        return sent
    }

    /// The end of a log.
    ///
    /// - Parameters:
    ///   - lines: the largest number of lines. 0 stands for what fits into an answer.
    ///   - requestID: only lines of this request. Empty for all lines.
    private static func tail(_ log: FunctionLog, lines: Int, requestID: String) -> String {
        guard requestID.isEmpty else {
            return log.tail(ofRequest: requestID, lines: lines > 0 ? lines : .max, bytes: tailBytesMax)
        }
        return lines > 0 ? log.tail(lines: lines) : log.tail(bytes: tailBytesMax)
    }

    /// Reads on a thread of its own, because a disk may be slow and no other work should wait for it.
    private func reading<Value: Sendable>(_ read: @escaping @Sendable () -> Value) async throws(CallFailure) -> Value {
        let answer = Promise<Value>()
        let isStarted =
            reads.add(1, ordering: .relaxed).newValue <= Self.readsMax
            && Thread.detached(name: "log-reader") { [self] in
                let value = read()
                reads.subtract(1, ordering: .relaxed)
                answer.settle(value)
            }
        guard isStarted else {
            reads.subtract(1, ordering: .relaxed)
            throw CallFailure(
                .resourceExhausted, executed: .no,
                "\(Self.readsMax) reads of logs already wait for their disks, or no thread can be started")
        }
        guard let value = await answer.value() else { throw .cancelled(executed: .no) }
        return value
    }

    private func log(_ name: String) async throws(CallFailure) -> FunctionLog {
        try await telling { () throws(FunctionError) in try await registry.log(of: name) }
    }

    private static func send<Failure: Error>(
        _ text: String, _ send: (Pb_Messages) async throws(Failure) -> Void
    ) async -> Result<Void, Failure> {
        guard !text.isEmpty else { return .success(()) }
        var message = Pb_Messages()
        message.output = .init(text.utf8)
        do throws(Failure) { return .success(try await send(message)) } catch { return .failure(error) }
    }
}
