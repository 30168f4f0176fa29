internal import Engine
internal import FunctionConfig
internal import Logging
internal import Platform

/// The images of this gateway's functions on its engine. Any task may use it.
///
/// It pulls an image, keeps it while a version needs it, pulls it again when it has been removed, and removes it after
/// the last version.
///
/// For each kept version, an image that `dcf` built gets a name: `dcf.kept/GATEWAY/FUNCTION:vVERSION`. An image with a
/// name is not pruned together with images without one, and another gateway on the same engine does not remove it.
final class ContainerImages: Sendable {
    private struct State {
        /// The credentials of the last deploy, for each image's name. They are kept in memory only.
        var credentials: [String: RegistryCredentials] = [:]
        /// Pulls that are under way, by the image's id.
        var fetches: [String: Promise<Result<String, EngineError>>] = [:]
        /// The new ids of images that were pulled again and got another id.
        var ids: [String: String] = [:]
        /// Names that are being removed.
        var releases: [String: Promise<Void>] = [:]
    }

    private let kept: String
    private let engine: LazyEngine
    private let tasks: TaskPool
    private let logger: Logger
    private let state = Lock(State())

    /// - Parameter gateway: the gateway's id.
    init(gateway: String, engine: LazyEngine, tasks: TaskPool, logger: Logger) {
        kept = "dcf.kept/\(gateway.prefix(12))"
        self.engine = engine
        self.tasks = tasks
        self.logger = logger
    }

    // MARK: Resolving an image

    /// Finds an image by its name, and checks that it can run here. Pulls it when the engine does not have it.
    ///
    /// - Parameter isForThisMachine: whether this machine itself must be able to run the image.
    func resolve(
        _ name: String, credentials: RegistryCredentials?, isForThisMachine: Bool = true,
        progress: @escaping @Sendable (DeployEvent) -> Void
    ) async throws(EngineError) -> ImageSource {
        let engine = try engine.get()
        let info = try await engine.info()
        var found = try await engine.image(name)
        if found == nil {
            progress(.step("pulling \(name)"))
            try await pull(name, credentials, progress)
            found = try await engine.image(name)
        }
        if let credentials { state.withLock { $0.credentials[name] = credentials } }
        guard let image = found else { throw EngineError(.notFound, "the Docker engine has no image \"\(name)\"") }
        guard image.os == "linux" || image.os.isEmpty else {
            throw EngineError(.failed, "image \"\(name)\" is for \(image.os); functions run on linux")
        }
        guard !isForThisMachine || image.architecture.isEmpty || image.architecture == info.architecture else {
            throw EngineError(
                .failed,
                "image \"\(name)\" is for \(image.architecture), and this machine is \(info.architecture); build it for "
                    + "linux/\(info.architecture)")
        }
        return ImageSource(
            id: image.id, name: name, reference: Self.reference(to: image, name), architecture: image.architecture,
            user: image.user, variables: image.variableNames)
    }

    /// The digest of the image in the registry of its name; its id when that registry does not have it.
    private static func reference(to image: EngineImage, _ name: String) -> String {
        guard let repository = try? ImageReference(name).repository else { return image.id }
        return image.digests.first { (try? ImageReference($0).repository) == repository } ?? image.id
    }

    private func pull(
        _ name: String, _ credentials: RegistryCredentials?, _ progress: @Sendable (DeployEvent) -> Void
    ) async throws(EngineError) {
        let reference = try ImageReference(name)
        do throws(EngineError) {
            try await engine.get().pull(reference, credentials: credentials) { event in
                if !event.isUpdate { progress(.output(event.line)) }
            }
        } catch {
            guard !error.isEngines, reference.registry == ImageReference.registryDefault else { throw error }
            throw EngineError(
                error.kind,
                "the gateway's Docker engine has no image \"\(name)\", and it was not sent to a registry that this gateway "
                    + "can get it from; \"dcf function create --registry HOST:PORT\" sends it to one (\(error))")
        }
    }

    // MARK: Pulling an image again

    /// The id that the image has on the engine now.
    func id(of source: ImageSource) -> String { state.withLock { $0.ids[source.id] } ?? source.id }

    /// Pulls an image again that has been removed from the engine. Tasks that ask for it at the same time share one
    /// pull.
    ///
    /// - Returns: the image's id.
    /// - Throws: an error with the command that helps. `notFound` when no registry has the image, so that only a deploy
    ///   helps.
    func restore(
        _ source: ImageSource, of function: String, progress: @escaping @Sendable (DeployEvent) -> Void = { _ in }
    ) async throws(EngineError) -> String {
        let engine = try engine.get()
        let known = id(of: source)
        if try await engine.image(known) != nil { return known }
        let (fetch, isNew) = state.withLock { state in
            if let fetch = state.fetches[source.id] { return (fetch, false) }
            let fetch = Promise<Result<String, EngineError>>()
            state.fetches[source.id] = fetch
            return (fetch, true)
        }
        if isNew {
            tasks.add { [self] in
                let result = await pullAgain(source, of: function, progress)
                state.withLock { state in
                    state.fetches[source.id] = nil
                    if case .success(let id) = result, id != source.id { state.ids[source.id] = id }
                }
                fetch.settle(result)
            }
        }
        guard let result = await fetch.value() else { throw EngineError(.failed, "it was stopped") }
        return try result.get()
    }

    private func pullAgain(
        _ source: ImageSource, of function: String, _ progress: @Sendable (DeployEvent) -> Void
    ) async -> Result<String, EngineError> {
        let gone =
            "image \"\(source.name)\" of function \"\(function)\" is no longer on the Docker engine (was it pruned?)"
        let again = "\"dcf function create \(function) --update\" builds and deploys it again"
        guard !source.reference.isEmpty, !source.reference.hasPrefix("sha256:") else {
            return .failure(
                EngineError(
                    .notFound, "\(gone), and it was never sent to a registry, so it cannot be pulled; \(again)"))
        }
        logger.info("\(function): \(gone); pulling \(source.reference)")
        progress(.step("pulling \(source.reference)"))
        let credentials = state.withLock { $0.credentials[source.name] }
        do throws(EngineError) {
            let engine = try engine.get()
            try await engine.pull(try ImageReference(source.reference), credentials: credentials) { event in
                if !event.isUpdate { progress(.output(event.line)) }
            }
            guard let image = try await engine.image(source.reference) else {
                throw EngineError(.notFound, "the registry gave another image")
            }
            return .success(image.id)
        } catch {
            guard !error.isEngines else { return .failure(error) }
            let login =
                credentials == nil ? "; if the registry asks for a password, run docker login before it" : ""
            return .failure(
                EngineError(
                    .registry,
                    "\(gone), and it cannot be pulled again: \(error); \"docker pull \(source.reference)\" on the "
                        + "gateway's machine gets it\(login); \(again)"))
        }
    }

    // MARK: Keeping and removing images

    private func keptName(_ record: VersionRecord) -> String { "\(kept)/\(record.name):v\(record.version)" }

    /// Gives a version's image a name, so that it stays as long as the version is kept. An image that `dcf` did not
    /// build is left to its owner.
    func keep(_ record: VersionRecord) async {
        guard record.kind == .image, !record.imageID.isEmpty else { return }
        let name = keptName(record)
        if let release = state.withLock({ $0.releases[name] }) { _ = await release.value() }
        do throws(EngineError) {
            let engine = try engine.get()
            guard let image = try await engine.image(record.imageID), Self.isOurs(image, record),
                !image.tags.contains(name)
            else { return }
            try await engine.tag(image.id, as: try ImageReference(name))
        } catch {
            logger.warning("\(record.name)@\(record.version): its image may be pruned: \(error)")
        }
    }

    /// Keeps the images of these versions and no others. Versions may have come or gone while the engine was away.
    func keep(only records: [VersionRecord]) async {
        for record in records { await keep(record) }
        let wanted = Set(records.filter { $0.kind == .image }.map { keptName($0) })
        do throws(EngineError) {
            let engine = try engine.get()
            for name in try await engine.imageNames(like: "\(kept)/*") where !wanted.contains(name) {
                try? await engine.removeImage(name)
            }
        } catch {
            logger.warning("images of removed versions are not looked for: \(error)")
        }
    }

    /// Starts to remove the image of a version that is gone, if `dcf` built it and nothing else needs it. An image of a
    /// deploy that failed stays, so that its author can examine it.
    ///
    /// - Parameters:
    ///   - isLast: whether its function is gone too. Then the names that the build gave are removed as well.
    ///   - isUsed: whether a version that is kept uses the same image.
    ///   - ended: returns when the containers are gone.
    /// - Returns: a promise that is set when the removal is done.
    func release(
        _ record: VersionRecord, isLast: Bool, isUsed: Bool, after ended: @escaping @Sendable () async -> Void
    ) -> Promise<Void> {
        let done = Promise<Void>()
        guard record.kind == .image, !record.imageID.isEmpty else {
            done.settle(())
            return done
        }
        let name = keptName(record)
        state.withLock { $0.releases[name] = done }
        tasks.add { [self] in
            await ended()
            do throws(EngineError) {
                try await remove(record, name, isLast: isLast, isUsed: isUsed)
            } catch {
                // The next start of the gateway removes it.
                logger.warning("the image of \(record.name)@\(record.version) is not removed: \(error)")
            }
            state.withLock { $0.releases[name] = nil }
            done.settle(())
        }
        return done
    }

    private func remove(
        _ record: VersionRecord, _ name: String, isLast: Bool, isUsed: Bool
    ) async throws(EngineError) {
        let engine = try engine.get()
        guard let image = try await engine.image(record.imageID) else { return }
        let others = image.tags.filter { $0 != name }
        // The removal of the last name also removes the image.
        if image.tags.contains(name), !isUsed || !others.isEmpty { try await remove(name) }
        guard !isUsed, Self.isOurs(image, record) else { return }
        let built = isLast ? others.filter { Self.isOfBuild($0, image, record) } : []
        for tag in built { try await remove(tag) }
        guard built.count == others.count else { return }
        // An image without a name still has its digests in registries.
        for digest in image.digests { try await remove(digest) }
        try await remove(image.id)
    }

    /// A conflict means that a container uses the image: it belongs to somebody else now, and stays.
    private func remove(_ name: String) async throws(EngineError) {
        do throws(EngineError) { try await engine.get().removeImage(name) } catch {
            guard error.kind == .conflict else { throw error }
        }
    }

    private static func isOurs(_ image: EngineImage, _ record: VersionRecord) -> Bool {
        guard image.labels[EngineLabel.function] == record.name, let name = try? FunctionName(record.name) else {
            return false
        }
        return (try? FunctionConfig.parse(yaml: record.config, name: name))?.skipBuild == false
    }

    /// Whether the build or the deploy gave the image this name, and not its owner.
    private static func isOfBuild(_ tag: String, _ image: EngineImage, _ record: VersionRecord) -> Bool {
        if tag == image.labels[EngineLabel.image] { return true }
        guard let sent = try? ImageReference(record.image) else { return false }
        return (try? ImageReference(tag))?.repository == sent.repository
    }
}

/// An image that the engine has.
struct ImageSource: Sendable, Equatable {
    /// The image's own id: `sha256:...`.
    var id: String
    /// The name by which it was asked for.
    var name: String
    /// The reference by which every node of a Swarm can pull it: `registry/name@sha256:...`. The id when no registry
    /// has it.
    var reference = ""
    /// The processor architecture that it is for; empty when the image does not name one.
    var architecture = ""
    /// The user that it wants to run as; empty when the image does not name one.
    var user = ""
    /// The names of the variables that it sets.
    var variables: Set<String> = []
}
