internal import Engine
internal import FunctionConfig
internal import Logging
internal import Locks

/// The images of this gateway's functions on its engine: got, kept while a version needs them, got again when somebody has
/// removed them, and removed after the last version.
///
/// Each kept version of an image that `dcf` built gives it a name of this gateway's, `dcf.kept/GATEWAY/FUNCTION:vVERSION`: what
/// has a name is not pruned with what has none, and another gateway on the same engine does not remove it.
final class ContainerImages: Sendable {
    private struct State {
        /// Of the last deploy, for each image's name; in memory alone.
        var credentials: [String: RegistryCredentials] = [:]
        /// Images that are being got, by id.
        var fetches: [String: Promise<Result<String, EngineError>>] = [:]
        /// What an image is called now that was got again under another id.
        var ids: [String: String] = [:]
        /// Names that are being taken away.
        var releases: [String: Promise<Void>] = [:]
    }

    private let kept: String
    private let engine: LazyEngine
    private let tasks: TaskPool
    private let logger: Logger
    private let state = Lock(State())

    /// - Parameter gateway: its id.
    init(gateway: String, engine: LazyEngine, tasks: TaskPool, logger: Logger) {
        kept = "dcf.kept/\(gateway.prefix(12))"
        self.engine = engine
        self.tasks = tasks
        self.logger = logger
    }

    // MARK: Getting them

    /// Finds an image by its name, getting it from its registry where the engine has none of that name, and checks that it can run here.
    ///
    /// - Parameter isForThisMachine: whether this very machine must be able to run it.
    func resolve(
        _ name: String, credentials: RegistryCredentials?, isForThisMachine: Bool = true,
        progress: @escaping @Sendable (DeployProgress) -> Void
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

    /// What names the very image in the registry that its name is of; its id where that has none.
    private static func reference(to image: EngineImage, _ name: String) -> String {
        guard let repository = try? ImageReference(name).repository else { return image.id }
        return image.digests.first { (try? ImageReference($0).repository) == repository } ?? image.id
    }

    private func pull(
        _ name: String, _ credentials: RegistryCredentials?, _ progress: @Sendable (DeployProgress) -> Void
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

    // MARK: Getting them again

    /// Names the very image on the engine.
    func id(of source: ImageSource) -> String { state.withLock { $0.ids[source.id] } ?? source.id }

    /// Gets an image from its registry that somebody has removed from the engine. Of several who ask at once one does it.
    ///
    /// - Returns: its id.
    /// - Throws: with the command that helps. `notFound` where no registry has it: nothing but a deploy will help.
    func restore(
        _ source: ImageSource, of function: String, progress: @escaping @Sendable (DeployProgress) -> Void = { _ in }
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
                let result = await got(source, of: function, progress)
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

    private func got(
        _ source: ImageSource, of function: String, _ progress: @Sendable (DeployProgress) -> Void
    ) async -> Result<String, EngineError> {
        let gone =
            "image \"\(source.name)\" of function \"\(function)\" is no longer on the Docker engine (was it pruned?)"
        let again = "\"dcf function create \(function) --update\" builds and deploys it again"
        guard !source.reference.isEmpty, !source.reference.hasPrefix("sha256:") else {
            return .failure(
                EngineError(
                    .notFound, "\(gone), and it was never sent to a registry, so it cannot be got from one; \(again)"))
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
                credentials == nil ? "; where the registry asks who is there: docker login, then the command" : ""
            return .failure(
                EngineError(
                    .registry,
                    "\(gone), and cannot be got again: \(error); \"docker pull \(source.reference)\" on the gateway's machine "
                        + "gets it\(login); \(again)"))
        }
    }

    // MARK: Keeping and removing them

    private func keptName(_ record: VersionRecord) -> String { "\(kept)/\(record.name):v\(record.version)" }

    /// Has a version's image stay for as long as the version is kept. One that `dcf` did not build is its owner's matter.
    func keep(_ record: VersionRecord) async {
        guard record.deploy == .image, !record.imageID.isEmpty else { return }
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

    /// Brings what is kept into line with the versions that there are: some may have come or gone while the engine was away.
    func keep(only records: [VersionRecord]) async {
        for record in records { await keep(record) }
        let wanted = Set(records.filter { $0.deploy == .image }.map { keptName($0) })
        do throws(EngineError) {
            let engine = try engine.get()
            for name in try await engine.imageNames(like: "\(kept)/*") where !wanted.contains(name) {
                try? await engine.removeImage(name)
            }
        } catch {
            logger.warning("images of versions that are gone are not looked for: \(error)")
        }
    }

    /// A version is gone, and its image with it, where `dcf` built it and nobody else needs it. Soon: nobody has to wait.
    /// What a deploy built and did not get to work stays, to be looked at.
    ///
    /// - Parameters:
    ///   - isLast: whether its function is gone, too; then the names go that the build gave.
    ///   - isUsed: whether a version that is kept is of the same image.
    ///   - ended: returns when the containers are gone.
    /// - Returns: settled when it is done.
    func release(
        _ record: VersionRecord, isLast: Bool, isUsed: Bool, after ended: @escaping @Sendable () async -> Void
    ) -> Promise<Void> {
        let done = Promise<Void>()
        guard record.deploy == .image, !record.imageID.isEmpty else {
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
                // The next start looks for what is left.
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
        // Its last name takes the image along.
        if image.tags.contains(name), !isUsed || !others.isEmpty { try await remove(name) }
        guard !isUsed, Self.isOurs(image, record) else { return }
        let built = isLast ? others.filter { Self.isOfBuild($0, image, record) } : []
        for tag in built { try await remove(tag) }
        guard built.count == others.count else { return }
        // What has no name left still has its registry's.
        for digest in image.digests { try await remove(digest) }
        try await remove(image.id)
    }

    /// An image that a container is made of is somebody else's by now.
    private func remove(_ name: String) async throws(EngineError) {
        do throws(EngineError) { try await engine.get().removeImage(name) } catch {
            guard error.kind == .conflict else { throw error }
        }
    }

    private static func isOurs(_ image: EngineImage, _ record: VersionRecord) -> Bool {
        guard image.labels[ImageLabel.function] == record.name, let name = try? FunctionName(record.name) else {
            return false
        }
        return (try? FunctionConfig.parse(yaml: record.config, name: name))?.skipBuild == false
    }

    /// Whether a name is one that the build or the deploy gave, and not one of its owner's own.
    private static func isOfBuild(_ tag: String, _ image: EngineImage, _ record: VersionRecord) -> Bool {
        if tag == image.labels[ImageLabel.name] { return true }
        guard let sent = try? ImageReference(record.image) else { return false }
        return (try? ImageReference(tag))?.repository == sent.repository
    }
}
