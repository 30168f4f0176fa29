package import Calls
package import Platform
internal import Synchronization

/// A whole front: calls come from a test, and their answers go back to it. It has no protocol and no socket.
package final class TestFront: Sendable {
    private let invoker: Invoker
    private let policy = HeaderPolicy { name, value in value == nil && name.starts(with: "test-".utf8) }

    package init(_ plane: CallPlane) {
        invoker = plane.invoker
    }

    /// Begins a call of `function`, or of `function@version`.
    package func call(
        _ function: String, _ input: InvocationInput, headers: [(String, String)] = [], wantsPieces: Bool = false
    ) -> TestCall {
        var metadata = RequestMetadata()
        for (name, value) in headers {
            Array(name.utf8).withUnsafeBytes { name in
                Array(value.utf8).withUnsafeBytes { metadata.add(name, $0, by: policy) }
            }
        }
        metadata.complete()
        let responder = TestResponder()
        let context = InvocationContext(metadata: metadata, wantsPieces: wantsPieces)
        return TestCall(responder: responder, handle: invoker.invoke(function, input, context, responder))
    }
}

/// One call, as its caller sees it.
package struct TestCall: Sendable {
    fileprivate let responder: TestResponder
    fileprivate let handle: CallHandle?

    package var answer: Promise<Result<[UInt8], CallFailure>> { responder.answer }
    package var pieces: [[UInt8]] { responder.pieces.withLock { $0 } }

    package func cancel() { handle?.cancel() }
}

/// Keeps the answer. It does not keep the handle, which keeps it.
private final class TestResponder: InvocationResponder {
    let answer = Promise<Result<[UInt8], CallFailure>>()
    let pieces = Mutex<[[UInt8]]>([])

    func reply(_ output: consuming InvocationOutput, _ metadata: ReplyMetadata) {
        answer.settle(.success(Array(output.bytes)))
    }

    func piece(_ output: consuming InvocationOutput, from source: any PieceSource) {
        pieces.withLock { $0.append(Array(output.bytes)) }
        source.taken(output.count)
    }

    func fail(_ failure: CallFailure) {
        answer.settle(.failure(failure))
    }
}
