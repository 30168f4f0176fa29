internal import Calls
internal import GRPC
internal import Platform
internal import SwiftProtobuf

extension ServerCall {
    /// The only request of the call.
    func request<M: SwiftProtobuf.Message>(_ type: M.Type = M.self) async throws(Status) -> M {
        guard let bytes = try await next() else {
            throw Status(.invalidArgument, "\(method) needs a request", metadata: ["dcf-executed": "no"])
        }
        return try decode(bytes)
    }

    /// A message of a stream of requests; nil at its end.
    func nextRequest<M: SwiftProtobuf.Message>(_ type: M.Type = M.self) async throws(Status) -> M? {
        guard let bytes = try await next() else { return nil }
        return try decode(bytes)
    }

    private func next() async throws(Status) -> [UInt8]? {
        do throws(MessageRefusal) { return try await receive() } catch { throw Status(.refused(error)) }
    }

    private func decode<M: SwiftProtobuf.Message>(_ bytes: [UInt8]) throws(Status) -> M {
        do {
            return try M(serializedBytes: bytes)
        } catch {
            throw Status(
                .invalidArgument, "the request is not a \(M.protoMessageName)", metadata: ["dcf-executed": "no"])
        }
    }

    func send(_ message: some SwiftProtobuf.Message) async throws(Status) {
        let bytes: [UInt8]
        do {
            bytes = try message.serializedBytes()
        } catch {
            throw Status(.internal, "the reply cannot be encoded: \(error)")
        }
        try await send(bytes)
    }
}
