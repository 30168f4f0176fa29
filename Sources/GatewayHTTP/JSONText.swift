internal import Calls
internal import Foundation
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore
internal import Platform

/// How this server writes JSON.
enum JSONText {
    static func encode(_ value: some Encodable) -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return ByteBuffer(string: "null") }
        return ByteBuffer(bytes: data)
    }
}

/// A failure as JSON: `{"error": {"code": .., "executed": .., "message": ..}}`.
struct FailureText: Encodable {
    private let error: [String: String]

    init(_ failure: CallFailure) {
        error = failure.described
    }
}

extension CallFailure {
    /// What JSON says of the failure.
    var described: [String: String] { ["code": code.name, "executed": executed.rawValue, "message": message] }
}

extension Response {
    static func json(_ status: HTTPResponse.Status, _ value: some Encodable) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: JSONText.encode(value)))
    }
}
