internal import Environments
internal import Glibc

/// Room on the data folder's disk that is kept for what must be written even when nothing else can be: SQLite needs some to
/// delete a function. It is given up for that, and taken again as soon as it is there.
final class DataReserve: Sendable {
    private static let bytes: off_t = 1 << 20

    private let path: String
    private let folder: String

    /// - Parameter folder: the data folder.
    init(folder: String) {
        self.folder = folder
        path = folder + "/reserve"
    }

    /// Takes the room, if there is that much and it is not taken yet.
    func take() {
        var status = stat()
        if lstat(path, &status) == 0, status.st_blocks * 512 >= Self.bytes { return }
        guard let file = try? OwnedDescriptor(path, flags: O_WRONLY | O_CREAT, mode: 0o600) else { return }
        if posix_fallocate(file.rawValue, 0, Self.bytes) != 0 { unlink(path) }
    }

    /// Gives the room up.
    ///
    /// - Returns: whether there was any.
    func give() -> Bool { unlink(path) == 0 }

    /// Does what has to be written, with the room where the disk is full without.
    func lend<Result>(_ work: () throws(RegistryError) -> Result) throws(RegistryError) -> Result {
        do throws(RegistryError) { return try work() } catch {
            guard isFull(error), give() else { throw error }
        }
        defer { take() }
        return try work()
    }

    /// SQLite tells some writes that found no room as errors of the disk.
    private func isFull(_ error: RegistryError) -> Bool {
        switch error {
        case .diskFull: true
        case .unreadable, .failed: isShort(ofBytes: UInt64(Self.bytes))
        case .newer, .damaged: false
        }
    }

    /// Whether less than this is free.
    private func isShort(ofBytes bytes: UInt64) -> Bool {
        var status = statvfs()
        guard statvfs(folder, &status) == 0 else { return false }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize) < bytes
    }

    /// Whether a twentieth or less of the disk is free: what can be made again should go.
    var isScarce: Bool {
        var status = statvfs()
        guard statvfs(folder, &status) == 0 else { return false }
        return UInt64(status.f_bavail) * 20 <= UInt64(status.f_blocks)
    }
}
