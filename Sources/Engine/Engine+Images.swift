internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1

extension Engine {
    /// The image of this name. Nil if the engine does not have one.
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

    /// The ids of images that have all of these labels and no name.
    package func unnamedImages(labels: [String: String]) async throws(EngineError) -> [String] {
        let words = labels.map { "\($0.key)=\($0.value)" }.sorted()
        return try await listImages(["dangling": ["true"], "label": words]).map(\.Id)
    }

    /// The names of images that match a pattern, such as `name/*`.
    package func imageNames(like pattern: String) async throws(EngineError) -> [String] {
        try await listImages(["reference": [pattern]]).flatMap { $0.RepoTags ?? [] }
    }

    private func listImages(_ filters: [String: [String]]) async throws(EngineError) -> [Listed] {
        let text = (try? JSONEncoder().encode(filters)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
        return try await ask(
            [Listed].self, .GET, "/images/json", query: [("filters", text)], doing: "cannot list images")
    }

    /// Pulls an image from its registry.
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

    /// Pushes an image to its registry.
    ///
    /// - Returns: the image's digest in the registry, `sha256:...`.
    package func push(
        _ reference: ImageReference, credentials: RegistryCredentials? = nil,
        onProgress: (EngineProgress) -> Void = { _ in }
    ) async throws(EngineError) -> String {
        let what = "cannot push \(reference)"
        var reader = ProgressReader(what)
        // The engine wants the header even without credentials.
        let header = credentials?.header ?? RegistryCredentials.noneHeader
        try await stream(
            .POST, "/images/\(Self.path(reference.repository))/push", query: [("tag", reference.tagOrDigest)],
            headers: [("X-Registry-Auth", header)], doing: what
        ) { part throws(EngineError) in try reader.feed(part, onProgress) }
        try reader.finish(onProgress)
        guard let digest = reader.digest else {
            throw EngineError(.failed, "\(what): the registry accepted the image but reported no digest")
        }
        return digest
    }

    /// Builds an image.
    ///
    /// - Parameters:
    ///   - context: the build context, a tar archive in parts.
    ///   - bytes: the size of the archive. Nil if unknown.
    /// - Returns: the image's id, `sha256:...`.
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
        guard let id = reader.imageID else { throw EngineError(.failed, "\(what): the engine reported no image id") }
        return id
    }

    /// Gives an image another name.
    package func tag(_ image: String, as reference: ImageReference) async throws(EngineError) {
        try await ask(
            .POST, "/images/\(Self.path(image))/tag",
            query: [("repo", reference.repository), ("tag", reference.tagOrDigest)],
            doing: "cannot tag \(image) as \(reference)")
    }

    /// Removes a name of an image, and the image itself with its last name. An id removes an image without a name.
    /// Does nothing if there is no such image.
    ///
    /// - Throws: `conflict` if a container uses the image, or other names are left.
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
