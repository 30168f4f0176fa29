package import Calls
package import Platform
import Synchronization

/// The responder of a call that keeps the call's answer.
package final class FakeCall: InvocationResponder {
    /// Stands for any reply.
    package static let replied = CallFailure(.ok, executed: .yes, "")

    private let answers = Mutex<[CallFailure]>([])
    private let onClose = Mutex<(@Sendable () -> Void)?>(nil)

    package init() {}

    /// All answers that it got. There must be at most one.
    package var failures: [CallFailure] { answers.withLock { $0 } }
    package var failure: CallFailure? { failures.first }

    package func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) {
        answers.withLock { $0.append(Self.replied) }
    }

    package func fail(_ failure: CallFailure) {
        answers.withLock { $0.append(failure) }
    }

    package func watchClose(_ body: @escaping @Sendable () -> Void) {
        onClose.withLock { $0 = body }
    }

    /// The caller leaves.
    package func leave() {
        let body = onClose.withLock { $0 }
        body?()
    }

    /// A call with this responder.
    ///
    /// - Parameter timeout: in microseconds.
    package func invocation(
        _ input: String, of route: FunctionRoute, at now: MonotonicTime, timeout: Int64 = 1_000_000_000,
        namesVersion: Bool = false
    ) -> Invocation {
        var input = input
        return Invocation(
            of: route, input.withUTF8 { InvocationInput(copying: UnsafeRawBufferPointer($0)) },
            InvocationContext(
                metadata: RequestMetadata(requestID: "r"), arrived: now,
                deadline: now.advanced(by: .microseconds(timeout))),
            self, gate: CallGate(), namesVersion: namesVersion)
    }
}
