internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1

extension Engine {
    /// An image that the engine has; nil when it has none of that name.
    package func image(_ name: String) async throws(EngineError) -> EngineImage? {
        let answer: Inspected
        do throws(EngineError) {
            answer = try await ask(
                Inspected.self, .GET, "/images/\(Self.path(name))/json", doing: "cannot ask for image \(name)")
        } catch {
            if error.kind == .notFound { return nil }
            throw error
        }
        return EngineImage(
            id: answer.Id, architecture: answer.Architecture ?? "", os: answer.Os ?? "",
            user: answer.Config?.User ?? "",
            environment: answer.Config?.Env ?? [], labels: answer.Config?.Labels ?? [:],
            digests: answer.RepoDigests ?? [], tags: answer.RepoTags ?? [], size: answer.Size ?? 0)
    }

    /// The ids of images without a name that carry all of these labels.
    package func unnamedImages(labels: [String: String]) async throws(EngineError) -> [String] {
        let words = labels.map { "\($0.key)=\($0.value)" }.sorted()
        return try await listImages(["dangling": ["true"], "label": words]).map(\.Id)
    }

    /// All names of images that fit a pattern, as `name/*`.
    package func imageNames(like pattern: String) async throws(EngineError) -> [String] {
        try await listImages(["reference": [pattern]]).flatMap { $0.RepoTags ?? [] }
    }

    private func listImages(_ filters: [String: [String]]) async throws(EngineError) -> [Listed] {
        let text = (try? JSONEncoder().encode(filters)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
        return try await ask(
            [Listed].self, .GET, "/images/json", query: [("filters", text)], doing: "cannot list images")
    }

    /// Gets an image from its registry.
    package func pull(
        _ reference: ImageReference, credentials: RegistryCredentials? = nil,
        onProgress: (EngineProgress) -> Void = { _ in }
    ) async throws(EngineError) {
        let what = "cannot pull \(reference)"
        var reader = ProgressReader(what)
        try await stream(
            .POST, "/images/create", query: [("fromImage", reference.repository), ("tag", reference.tagOrDigest)],
            headers: credentials.map { [("X-Registry-Auth", $0.header)] } ?? [], doing: what
        ) { part throws(EngineError) in try reader.feed(part, onProgress) }
        try reader.finish(onProgress)
    }

    /// Sends an image to its registry.
    ///
    /// - Returns: its digest there, `sha256:...`.
    package func push(
        _ reference: ImageReference, credentials: RegistryCredentials? = nil,
        onProgress: (EngineProgress) -> Void = { _ in }
    ) async throws(EngineError) -> String {
        let what = "cannot push \(reference)"
        var reader = ProgressReader(what)
        // The header must be there, also for nobody in particular.
        let header = credentials?.header ?? RegistryCredentials.nobody
        try await stream(
            .POST, "/images/\(Self.path(reference.repository))/push", query: [("tag", reference.tagOrDigest)],
            headers: [("X-Registry-Auth", header)], doing: what
        ) { part throws(EngineError) in try reader.feed(part, onProgress) }
        try reader.finish(onProgress)
        guard let digest = reader.digest else {
            throw EngineError(.failed, "\(what): the registry took it, and told no digest")
        }
        return digest
    }

    /// Builds an image.
    ///
    /// - Parameters:
    ///   - context: a tar archive, in parts.
    ///   - bytes: how long that is; nil when nobody knows.
    /// - Returns: its id, `sha256:...`.
    package func build<Context: AsyncSequence & Sendable>(
        _ context: Context, bytes: Int64? = nil, _ options: BuildOptions,
        onProgress: (EngineProgress) -> Void = { _ in }
    ) async throws(EngineError) -> String where Context.Element == [UInt8] {
        let what = "cannot build \(options.tag)"
        var reader = ProgressReader(what)
        var query = [("t", options.tag), ("dockerfile", options.dockerfile), ("rm", "true"), ("forcerm", "true")]
        if !options.usesCache { query.append(("nocache", "true")) }
        if let network = options.network { query.append(("networkmode", network)) }
        if let arguments = try? JSONEncoder().encode(options.arguments), !options.arguments.isEmpty {
            query.append(("buildargs", String(decoding: arguments, as: UTF8.self)))
        }
        if let labels = try? JSONEncoder().encode(options.labels), !options.labels.isEmpty {
            query.append(("labels", String(decoding: labels, as: UTF8.self)))
        }
        let parts = context.map { ByteBuffer(bytes: $0) }
        let length: HTTPClientRequest.Body.Length = bytes.map { .known($0) } ?? .unknown
        try await stream(
            .POST, "/build", query: query, body: .stream(parts, length: length), contentType: "application/x-tar",
            doing: what
        ) { part throws(EngineError) in try reader.feed(part, onProgress) }
        try reader.finish(onProgress)
        guard let id = reader.imageID else { throw EngineError(.failed, "\(what): the engine told no image") }
        return id
    }

    package func tag(_ image: String, as reference: ImageReference) async throws(EngineError) {
        try await ask(
            .POST, "/images/\(Self.path(image))/tag",
            query: [("repo", reference.repository), ("tag", reference.tagOrDigest)],
            doing: "cannot tag \(image) as \(reference)")
    }

    /// Takes a name away, and the image with its last one; by its id an image without a name. Nothing where there is none.
    ///
    /// - Throws: `conflict` where a container is made of it, or other names are left.
    package func removeImage(_ name: String) async throws(EngineError) {
        do throws(EngineError) {
            try await ask(.DELETE, "/images/\(Self.path(name))", doing: "cannot remove image \(name)")
        } catch {
            guard error.kind == .notFound else { throw error }
        }
    }

    private static func path(_ name: String) -> String {
        EngineEndpoint.escaped(name, keeping: ["/", ":", "@"])
    }

    private struct Listed: Decodable {
        var Id: String
        var RepoTags: [String]?
    }

    private struct Inspected: Decodable {
        struct ConfigAnswer: Decodable {
            var User: String?
            var Env: [String]?
            var Labels: [String: String]?
        }

        var Id: String
        var Architecture: String?
        var Os: String?
        var Config: ConfigAnswer?
        var RepoDigests: [String]?
        var RepoTags: [String]?
        var Size: UInt64?
    }
}
