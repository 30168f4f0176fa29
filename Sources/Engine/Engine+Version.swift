internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Platform

extension Engine {
    /// The version of the API that this program uses with the engine at the socket.
    struct Spoken: Sendable {
        var version: APIVersion
        /// The engine's header `Server`, which names its release.
        var server: String?
    }

    /// How long an engine may take to report its version.
    private static let versionTime = TimeAmount.seconds(30)
    /// The largest such answer, in bytes.
    private static let versionBytesMax = 1 << 20

    /// The newest version that both sides speak. Asks the engine once, and again after `forgetVersion`.
    func version(doing what: String) async throws(EngineError) -> APIVersion {
        if let spoken = spoken.withLock({ $0 }) { return spoken.version }
        let asked = try await askVersion(doing: what)
        spoken.withLock { $0 = asked }
        return asked.version
    }

    /// Forgets the version: another engine may answer at the socket now.
    func forgetVersion() {
        spoken.withLock { $0 = nil }
    }

    /// Compares the header `Server` of an answer. Forgets the version if the engine's release has changed.
    func compare(server: String?) {
        guard let server else { return }
        spoken.withLock { spoken in
            if let known = spoken?.server, known != server { spoken = nil }
        }
    }

    /// Asks for the engine's versions. The path of this one question contains no version, so every engine answers it.
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
                "\(what): the program at \(endpoint.path) does not report a version of Docker's API; "
                    + "check that it is a Docker engine")
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
                + (isOld ? "update the engine to Docker 20.10 or later" : "update dcf"))
    }

    private struct VersionAnswer: Decodable {
        var Version: String?
        var ApiVersion: String
        var MinAPIVersion: String?
    }
}
