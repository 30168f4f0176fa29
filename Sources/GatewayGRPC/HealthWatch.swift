internal import GRPC
internal import GatewayProtocol
internal import Platform
internal import SwiftProtobuf

/// One `Watch` of health: sends the status at first and at each change, until the caller leaves. Any thread may use it.
final class HealthWatch: StreamingCallHandler {
    typealias Serving = Grpc_Health_V1_HealthCheckResponse.ServingStatus

    private struct State {
        /// The name that is watched: a function, or empty for the gateway; nil until it is known.
        var name: String?
        var last: Serving?
        var isSending = false
        var status: Status?
        var isFinished = false
    }

    private enum Step {
        case nothing
        case send(Serving)
        case finish(Status)
    }

    private let call: StreamingCall
    private let health: HealthService
    private let state = Lock(State())

    init(_ call: StreamingCall, health: HealthService) {
        self.call = call
        self.health = health
    }

    /// Sends the status if it has changed. Only health's thread calls this, so that the last status sent is the latest
    /// one.
    func look() {
        guard let name = state.withLock({ $0.name }) else { return }
        let serving = health.serving(name)
        perform { state in
            guard !state.isSending, !state.isFinished, state.last != serving else { return .nothing }
            state.last = serving
            state.isSending = true
            return .send(serving)
        }
    }

    // MARK: StreamingCallHandler

    func begin() {
        do throws(Status) {
            try health.checkMetadata(of: call)
            call.receive()
        } catch {
            end(error)
        }
    }

    func received(_ message: consuming ByteBuffer?) {
        do throws(Status) {
            let name = try HealthService.name(in: message, of: .watch)
            state.withLock { $0.name = name }
            health.wake()
        } catch {
            end(error)
        }
    }

    func sent(success: Bool) {
        perform { state in
            state.isSending = false
            if !success { state.status = state.status ?? Self.left }
            return Self.end(&state)
        }
        // The status may have changed meanwhile.
        health.wake()
    }

    func closed(cancelled: Bool) {
        if cancelled { end(Self.left) }
    }

    // MARK: The end

    private static let left = Status(.cancelled, "the caller has left")

    private func end(_ status: Status) {
        perform { state in
            state.status = state.status ?? status
            return Self.end(&state)
        }
    }

    /// Finishes the call once nothing is being sent.
    private static func end(_ state: inout State) -> Step {
        guard let status = state.status, !state.isSending, !state.isFinished else { return .nothing }
        state.isFinished = true
        return .finish(status)
    }

    private func perform(_ change: (inout State) -> Step) {
        switch state.withLock({ change(&$0) }) {
        case .nothing: break
        case .send(let serving):
            guard let bytes = try? HealthService.reply(serving), call.send(ByteBuffer(bytes)) else {
                return sent(success: false)
            }
        case .finish(let status):
            health.forget(self)
            call.finish(status)
        }
    }
}
