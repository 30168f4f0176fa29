internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Locks

extension Engine {
    /// Which version of the API the engine at the socket is spoken to in.
    struct Spoken: Sendable {
        var version: APIVersion
        /// What the engine calls itself in the header `Server`, with its release.
        var server: String?
    }

    /// How long an engine may take to say what it is.
    private static let versionTime = TimeAmount.seconds(30)
    /// What it says of that, at most, in bytes.
    private static let versionBytesMax = 1 << 20

    /// The newest version that both speak; asked for once, and again after `forget`.
    func version(doing what: String) async throws(EngineError) -> APIVersion {
        if let spoken = spoken.withLock({ $0 }) { return spoken.version }
        let asked = try await askVersion(doing: what)
        spoken.withLock { $0 = asked }
        return asked.version
    }

    /// The engine may be another one by now.
    func forgetVersion() {
        spoken.withLock { $0 = nil }
    }

    /// An answer came: of an engine that was exchanged for another release the version is asked anew.
    func compare(server: String?) {
        guard let server else { return }
        spoken.withLock { spoken in
            if let known = spoken?.server, known != server { spoken = nil }
        }
    }

    /// Whether an engine refuses a request for the version of the API that it is made in.
    static func isAboutVersion(_ message: String) -> Bool {
        message.contains("client version") && (message.contains("too old") || message.contains("too new"))
    }

    /// Every engine answers this one question in no version at all.
    private func askVersion(doing what: String) async throws(EngineError) -> Spoken {
        var request = HTTPClientRequest(url: endpoint.url("/version"))
        request.headers.add(name: "host", value: "docker")
        let response: HTTPClientResponse
        let bytes: [UInt8]
        do {
            response = try await client.execute(request, deadline: .now() + Self.versionTime)
            bytes = Array(try await response.body.collect(upTo: Self.versionBytesMax).readableBytesView)
        } catch {
            throw failure(error, doing: what)
        }
        guard response.status.code < 400 else {
            throw EngineError(
                status: response.status.code,
                message: Self.message(in: bytes) ?? "HTTP status \(response.status.code)", doing: what)
        }
        guard let told = try? JSONDecoder().decode(VersionAnswer.self, from: Data(bytes)),
            let newest = APIVersion(told.ApiVersion)
        else {
            throw EngineError(
                .broken,
                "\(what): what answers at \(endpoint.path) does not say which version of Docker's API it speaks")
        }
        let oldest = told.MinAPIVersion.flatMap { APIVersion($0) }
        guard let common = APIVersion.common(newest: newest, oldest: oldest) else {
            throw Self.noCommon(told.Version ?? "", newest, oldest, endpoint.path, doing: what)
        }
        return Spoken(version: common, server: response.headers.first(name: "server"))
    }

    private static func noCommon(
        _ release: String, _ newest: APIVersion, _ oldest: APIVersion?, _ path: String, doing what: String
    ) -> EngineError {
        let range = oldest.map { "\($0) to \(newest)" } ?? "up to \(newest)"
        let isOld = newest < APIVersion.oldest
        return EngineError(
            .incompatible,
            "\(what): the Docker engine at \(path)\(release.isEmpty ? "" : ", release \(release),") speaks versions "
                + "\(range) of its API, and dcf speaks \(APIVersion.oldest) to \(APIVersion.newest); "
                + (isOld ? "update the engine: Docker 20.10 or later will do" : "update dcf"))
    }

    private struct VersionAnswer: Decodable {
        var Version: String?
        var ApiVersion: String
        var MinAPIVersion: String?
    }
}
