internal import Engine
internal import Locks

/// Where the engine finds what this gateway has: where the gateway is itself a container of that engine, the engine knows the
/// gateway's folders by other names.
final class EnginePaths: Sendable {
    private let own: String?
    private let mounts = Lock<[ContainerMount]?>(nil)

    /// - Parameter own: the id of the container that this gateway runs in; nil where it runs in none.
    init(own: String?) {
        self.own = own
    }

    /// What the engine calls a path.
    ///
    /// - Throws: where the engine cannot find it at all, with what to do.
    func seen(_ path: String, by engine: any ContainerEngine) async throws(EngineError) -> String {
        guard let own else { return path }
        let known = mounts.withLock { $0 }
        let found: [ContainerMount]
        if let known {
            found = known
        } else {
            do throws(EngineError) { found = try await engine.mounts(of: own) } catch {
                // Of another engine: both see the same folders.
                guard error.kind == .notFound else { throw error }
                mounts.withLock { $0 = [ContainerMount(source: "/", target: "/")] }
                return path
            }
            mounts.withLock { $0 = found }
        }
        guard let seen = Self.seen(path, found) else {
            throw EngineError(
                .failed,
                "this gateway runs in a container, and the containers of functions cannot see its folder \(path): it lies in "
                    + "no volume and no folder of the machine; start the gateway with -v dcf:/var/lib/dcf, or with a folder of "
                    + "the machine there, and --data-dir below it")
        }
        return seen
    }

    /// By the mount that is nearest above the path.
    static func seen(_ path: String, _ mounts: [ContainerMount]) -> String? {
        let above = mounts.filter { mount in
            mount.target == "/" || path == mount.target || path.hasPrefix("\(mount.target)/")
        }
        guard let mount = above.max(by: { $0.target.utf8.count < $1.target.utf8.count }) else { return nil }
        if mount.target == "/" { return mount.source == "/" ? path : mount.source + path }
        return mount.source + path.dropFirst(mount.target.count)
    }
}
