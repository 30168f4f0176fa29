internal import GRPC
internal import GatewayProtocol

/// `Invokes`: calls one after another over one stream. The next request is read while one runs, and not begun.
final class InvokesService: Sendable {
    private let routes: RouteTable
    private let sweeper: Sweeper
    private let gate: CallGate
    private let maxInputBytes: Int

    init(routes: RouteTable, sweeper: Sweeper, gate: CallGate, maxInputBytes: Int) {
        self.routes = routes
        self.sweeper = sweeper
        self.gate = gate
        self.maxInputBytes = maxInputBytes
    }

    /// Serves the stream until the caller ends it, leaves it, or a request fails, which ends it with that status.
    func serve(_ call: ServerCall) async -> Status {
        let metadata = CallMetadata(call.metadata)
        guard var request = await call.receive() else { return .ok }
        var number: UInt64 = 0
        while true {
            async let upcoming = call.receive()
            switch await answer(request, metadata, deadline: call.deadline) {
            case .failure(let failure):
                // Ends the read that is under way too.
                await call.finish(failure.status)
                _ = await upcoming
                return failure.status
            case .success(var message):
                Self.mark(&message, number: number)
                do throws(Status) {
                    try await call.send(message)
                } catch {
                    await call.finish(error)
                    _ = await upcoming
                    return error
                }
            }
            guard let next = await upcoming else { return .ok }
            guard gate.isOpen else { return CallFailure.draining.status }
            request = next
            number += 1
        }
    }

    private func answer(
        _ bytes: [UInt8], _ metadata: CallMetadata, deadline: MonotonicTime
    ) async -> AwaitedResponder.Answer {
        guard gate.enter() else { return .failure(.draining) }
        defer { gate.leave() }
        let message = ByteBuffer(bytes)
        guard let scan = InvokeRequestScan(message) else {
            return .failure(.malformedRequest(GatewayMethod.invokes))
        }
        guard scan.inputCount <= maxInputBytes else {
            return .failure(.inputTooLarge(scan.inputCount, limit: maxInputBytes))
        }
        guard let route = routes.route(of: scan.service) else { return .failure(routes.unknown(scan.service)) }
        let responder = AwaitedResponder()
        let invocation = Invocation(
            responder: responder,
            input: InvocationInput(message: message, offset: scan.inputOffset, count: scan.inputCount),
            requestID: metadata.requestID, metadata: metadata.encoded, wantsText: false, arrived: .now,
            deadline: deadline)
        return await withTaskCancellationHandler {
            sweeper.wake()
            route.admit(invocation)
            return await responder.answer()
        } onCancel: {
            route.callerLeft(invocation)
        }
    }

    /// Adds `Request` and `Last` to an encoded `Messages`: in this encoding, fields may simply follow.
    private static func mark(_ message: inout [UInt8], number: UInt64) {
        if number > 0 {
            message += [0xA0, 0x06]
            var left = number
            while left >= 0x80 {
                message.append(UInt8(left & 0x7F) | 0x80)
                left >>= 7
            }
            message.append(UInt8(left))
        }
        message += [0xA8, 0x06, 0x01]
    }
}
