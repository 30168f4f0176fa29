@testable import Gateway
import GRPC
import Synchronization
import WatcherLink

/// A call whose answer is kept.
final class FakeCall: InvocationResponder {
    /// Stands for any reply.
    static let replied = CallFailure(.ok, executed: .yes, "")

    private let answers = Mutex<[CallFailure]>([])
    private let onClose = Mutex<(@Sendable () -> Void)?>(nil)

    /// All answers that it got: one at most, if all is well.
    var failures: [CallFailure] { answers.withLock { $0 } }
    var failure: CallFailure? { failures.first }

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata, _ context: InvocationContext) {
        answers.withLock { $0.append(Self.replied) }
    }

    func fail(_ failure: CallFailure, _ context: InvocationContext) {
        answers.withLock { $0.append(failure) }
    }

    func watchClose(_ body: @escaping @Sendable () -> Void) {
        onClose.withLock { $0 = body }
    }

    /// The caller leaves.
    func leave() {
        let body = onClose.withLock { $0 }
        body?()
    }

    /// - Parameter timeout: in microseconds.
    func invocation(_ input: String, at now: MonotonicTime, timeout: Int64 = 1_000_000_000) -> Invocation {
        Invocation(
            responder: self, input: InvocationInput(ByteBuffer(Array(input.utf8))),
            context: InvocationContext(
                metadata: RequestMetadata(requestID: "r"), arrived: now,
                deadline: now.advanced(by: .microseconds(timeout))))
    }
}
