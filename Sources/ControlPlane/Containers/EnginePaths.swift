internal import Engine
internal import Glibc
internal import Platform

/// Translates the gateway's paths into the engine's. When the gateway runs in a container of that engine, the engine
/// knows the gateway's folders by other paths. Any task may use it.
final class EnginePaths: Sendable {
    private let own: String?
    private let mounts = Lock<[ContainerMount]?>(nil)

    /// - Parameter own: the id of the container that this gateway runs in; nil when it does not run in one.
    init(own: String?) {
        self.own = own
    }

    /// The engine's path for a path of this gateway.
    ///
    /// - Throws: an error that says what to do, when the engine cannot find the path at all.
    func seen(_ path: String, by engine: any ContainerEngine) async throws(EngineError) -> String {
        guard let own else { return path }
        let known = mounts.withLock { $0 }
        let found: [ContainerMount]
        if let known {
            found = known
        } else {
            do throws(EngineError) { found = try await engine.mounts(of: own) } catch {
                // The gateway runs in a container of another engine, so both see the same paths.
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

    /// Translates by the nearest mount above the path; nil when there is none.
    static func seen(_ path: String, _ mounts: [ContainerMount]) -> String? {
        let above = mounts.filter { mount in
            mount.target == "/" || path == mount.target || path.hasPrefix("\(mount.target)/")
        }
        guard let mount = above.max(by: { $0.target.utf8.count < $1.target.utf8.count }) else { return nil }
        if mount.target == "/" { return mount.source == "/" ? path : mount.source + path }
        return mount.source + path.dropFirst(mount.target.count)
    }
}

/// The container that this process runs in.
enum OwnContainer {
    private static let marks = ["/.dockerenv", "/run/.containerenv"]

    /// The container's id, or its host name when the id is unknown; nil when this process does not run in a container.
    static func id() -> String? {
        guard marks.contains(where: { access($0, F_OK) == 0 }) else { return nil }
        if let bytes = try? WholeFile.read("/proc/self/mountinfo", limit: 1 << 20),
            let id = id(inMounts: String(decoding: bytes, as: UTF8.self))
        {
            return id
        }
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Finds the id in the mounts: an engine keeps the files that it makes for a container, such as /etc/hostname, in a
    /// folder with the id as its name.
    static func id(inMounts text: String) -> String? {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "/")
            for (folder, name) in zip(parts, parts.dropFirst()) where folder.hasSuffix("containers") {
                if name.utf8.count == 64, name.allSatisfy({ $0.isHexDigit }) { return String(name) }
            }
        }
        return nil
    }
}
