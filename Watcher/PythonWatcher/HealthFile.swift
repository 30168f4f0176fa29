import Glibc

/// The file by which a container's engine sees that the function answers: there while the replica is ready, gone while not.
enum HealthFile {
    /// As every image of a function looks for it.
    private static let path: StaticString = "/tmp/.lock"
    /// Set before there is a second thread.
    nonisolated(unsafe) private static var isKept = false

    /// From now on it is kept. What an earlier life of the container left is taken away.
    ///
    /// - Returns: whether it can be made.
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

    /// The replica is not ready, or not any more. From any thread.
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
