internal import AsyncHTTPClient
internal import Foundation
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Platform

/// A client of a Docker engine's HTTP API (https://docs.docker.com/reference/api/engine/), Docker 20.10 and later.
///
/// Asks for the API's version before the first request, and again when another engine answers. Safe from any thread.
/// Make no requests after `shutdown`.
package final class Engine: Sendable {
    package let endpoint: EngineEndpoint
    let client: HTTPClient
    /// Nil until the engine has reported its version.
    let spoken = Lock<Spoken?>(nil)
    /// The largest error answer of an engine, in bytes.
    private static let errorBytesMax = 1 << 20
    /// The largest answer of an engine, in bytes.
    private static let answerBytesMax = 64 << 20

    package init(_ endpoint: EngineEndpoint) {
        self.endpoint = endpoint
        var configuration = HTTPClient.Configuration()
        // Many requests wait at the same time, some for as long as a container runs.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 8_192
        // A new connection to a socket of this machine costs next to nothing.
        configuration.connectionPool.idleTimeout = .seconds(5)
        configuration.timeout.connect = .seconds(10)
        // Report a missing engine at once instead of waiting for it.
        configuration.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// Closes all connections.
    package func shutdown() async {
        try? await client.shutdown()
    }

    // MARK: Requests

    /// Sends a request and passes the answer to `receive` part by part.
    ///
    /// - Parameters:
    ///   - path: the path below the version, with a leading slash.
    ///   - what: the beginning of every error text, such as `cannot start container X`.
    func stream(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: HTTPClientRequest.Body? = nil,
        contentType: String? = nil, headers: [(String, String)] = [], doing what: String,
        _ receive: (ByteBuffer) throws(EngineError) -> Void
    ) async throws(EngineError) {
        let response = try await send(
            method, path, query: query, body: body, contentType: contentType, headers: headers, doing: what)
        do {
            for try await part in response.body { try receive(part) }
        } catch let error as EngineError {
            throw error
        } catch is CancellationError {
            throw EngineError(.failed, "\(what): cancelled")
        } catch {
            throw brokenOff(error, doing: what)
        }
    }

    /// Sends a request and waits for the whole answer.
    @discardableResult
    func ask(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: HTTPClientRequest.Body? = nil,
        contentType: String? = nil, headers: [(String, String)] = [], doing what: String
    ) async throws(EngineError) -> [UInt8] {
        let response = try await send(
            method, path, query: query, body: body, contentType: contentType, headers: headers, doing: what)
        do {
            return Array((try await response.body.collect(upTo: Self.answerBytesMax)).readableBytesView)
        } catch is CancellationError {
            throw EngineError(.failed, "\(what): cancelled")
        } catch {
            throw brokenOff(error, doing: what)
        }
    }

    /// Sends a request and decodes the answer from JSON.
    func ask<Answer: Decodable>(
        _ type: Answer.Type, _ method: HTTPMethod, _ path: String, query: [(String, String)] = [],
        body: HTTPClientRequest.Body? = nil, contentType: String? = nil, headers: [(String, String)] = [],
        doing what: String
    ) async throws(EngineError) -> Answer {
        let bytes = try await ask(
            method, path, query: query, body: body, contentType: contentType, headers: headers, doing: what)
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw EngineError(.broken, "\(what): the engine's answer cannot be understood: \(error)")
        }
    }

    /// A value as the JSON body of a request.
    static func json(_ value: some Encodable) throws(EngineError) -> HTTPClientRequest.Body {
        do {
            return .bytes(Array(try JSONEncoder().encode(value)))
        } catch {
            throw EngineError(.failed, "a request to the engine cannot be written as JSON: \(error)")
        }
    }

    private func send(
        _ method: HTTPMethod, _ path: String, query: [(String, String)], body: HTTPClientRequest.Body?,
        contentType: String?, headers: [(String, String)], doing what: String
    ) async throws(EngineError) -> HTTPClientResponse {
        let parts = query.map { "\($0.0)=\(EngineEndpoint.escaped($0.1, keeping: []))" }
        let suffix = parts.isEmpty ? "" : "?" + parts.joined(separator: "&")
        var isSecond = false
        while true {
            let version = try await version(doing: what)
            var request = HTTPClientRequest(url: endpoint.url("/v\(version)\(path)\(suffix)"))
            request.method = method
            request.headers.add(name: "host", value: "docker")
            if let contentType { request.headers.add(name: "content-type", value: contentType) }
            for (name, value) in headers { request.headers.add(name: name, value: value) }
            request.body = body
            let response: HTTPClientResponse
            do {
                response = try await client.execute(request, deadline: .distantFuture)
            } catch {
                forgetVersion()
                throw failure(error, doing: what)
            }
            compare(server: response.headers.first(name: "server"))
            guard response.status.code >= 400 else { return response }
            let said = try? await response.body.collect(upTo: Self.errorBytesMax)
            let bytes = said.map { Array($0.readableBytesView) } ?? []
            let message =
                Self.message(in: bytes)
                ?? "HTTP status \(response.status.code) \(String(decoding: bytes.prefix(200), as: UTF8.self))"
            // Another engine answers than the one that reported its version. It refused before it did anything.
            if response.status.code == 400, !isSecond, EngineMessage.otherVersion.isSaid(in: message) {
                isSecond = true
                forgetVersion()
                continue
            }
            throw EngineError(status: response.status.code, message: message, doing: what)
        }
    }

    /// Errors that come before a connection exists, so that the engine never saw the request.
    private static let beforeRequest: [HTTPClientError] = [.connectTimeout, .getConnectionFromPoolTimeout]

    /// The message in an engine's error answer. Nil if the body is not an error answer.
    static func message(in body: [UInt8]) -> String? {
        (try? JSONDecoder().decode(ErrorAnswer.self, from: Data(body)))?.message
    }

    private struct ErrorAnswer: Decodable {
        var message: String
    }

    private func brokenOff(_ error: any Error, doing what: String) -> EngineError {
        forgetVersion()
        return EngineError(.broken, "\(what): the engine's answer broke off: \(error)")
    }

    /// The error for a request without an answer.
    func failure(_ error: any Error, doing what: String) -> EngineError {
        if error is CancellationError { return EngineError(.failed, "\(what): cancelled") }
        // The engine may have acted on the request before it closed the connection.
        if let error = error as? HTTPClientError, !Self.beforeRequest.contains(error) {
            return brokenOff(error, doing: what)
        }
        guard let error = error as? IOError else { return .unreachable(endpoint.path, errno: nil, "\(error)") }
        if error.errnoCode == EPIPE || error.errnoCode == ECONNRESET { return brokenOff(error, doing: what) }
        return .unreachable(endpoint.path, errno: error.errnoCode, "\(error)")
    }
}
