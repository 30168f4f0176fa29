internal import GRPC
internal import WatcherLink

/// Gives the answer of an invocation to a task that waits for it.
final class AwaitedResponder: InvocationResponder {
    /// The encoded reply (a `Messages` with its output), or why there is none.
    typealias Answer = Result<[UInt8], CallFailure>

    private let promise = Promise<Answer>()

    /// Waits for the answer. When the task is cancelled: the caller has left.
    func answer() async -> Answer {
        await promise.value() ?? .failure(.cancelled(executed: .maybe))
    }

    func reply(_ message: consuming ByteBuffer, requestID: String) {
        promise.settle(.success(message.bytes))
    }

    func fail(_ failure: CallFailure, requestID: String) {
        promise.settle(.failure(failure))
    }

    /// The waiting task is cancelled when its caller leaves: nothing more to watch.
    func watchClose(_ body: @escaping @Sendable () -> Void) {}
}
