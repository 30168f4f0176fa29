internal import CGRPC
internal import Platform

/// The bridge from the core to async code: a tag that resumes one continuation when the core answers.
final class ContinuationTag: CompletionTag {
    private var continuation: CheckedContinuation<Bool, Never>?

    override private init() {}

    convenience init(_ continuation: CheckedContinuation<Bool, Never>) {
        self.init()
        self.continuation = continuation
    }

    override func complete(event: UInt8, success: Bool) {
        assertNoLockIsHeld()
        continuation?.resume(returning: success)
        continuation = nil
    }
}

/// Asks the core for something and waits for the answer.
///
/// - Parameter ask: starts a batch with the tag that it gets.
/// - Returns: whether the batch succeeded. It is also false when the core refused to start it.
func withContinuationTag(_ ask: (UnsafeMutableRawPointer?) -> grpc_call_error) async -> Bool {
    await withCheckedContinuation { continuation in
        let pointer = ContinuationTag(continuation).tag(event: 0)
        guard ask(pointer) == GRPC_CALL_OK else {
            CompletionTag.forget(pointer)
            continuation.resume(returning: false)
            return
        }
    }
}
