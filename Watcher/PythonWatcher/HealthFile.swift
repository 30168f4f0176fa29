import Glibc

/// The file that tells a container's engine whether the function is healthy: it exists while the replica is ready.
enum HealthFile {
    /// The path that the health check of every function's image looks for.
    private static let path: StaticString = "/tmp/.lock"
    /// Set before there is a second thread, and never changed after that.
    nonisolated(unsafe) private static var isKept = false

    /// From now on the file is kept. Removes a file that an earlier run of the container left.
    ///
    /// - Returns: whether the file can be made.
    static func keep() -> Bool {
        isKept = true
        let isWritable = make()
        remove()
        return isWritable
    }

    /// The replica is ready.
    static func announce() {
        if isKept { _ = make() }
    }

    /// The replica is not ready, or no longer. From any thread.
    static func remove() {
        if isKept { unlink(name) }
    }

    private static func make() -> Bool {
        let descriptor = open(name, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0o644)
        if descriptor >= 0 { close(descriptor) }
        return descriptor >= 0
    }

    private static var name: UnsafePointer<CChar> {
        UnsafeRawPointer(path.utf8Start).assumingMemoryBound(to: CChar.self)
    }
}
