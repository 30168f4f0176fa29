internal import Glibc
internal import Platform

/// A file that reserves room on the data folder's disk for writes that must succeed on a full disk: SQLite needs some
/// room to delete a function. The room is given up for such a write, and taken again as soon as there is enough.
final class DataReserve: Sendable {
    private static let bytes: off_t = 1 << 20

    private let path: String
    private let folder: String

    /// - Parameter folder: the data folder.
    init(folder: String) {
        self.folder = folder
        path = folder + "/reserve"
    }

    /// Takes the room, if the disk has that much and it is not taken yet.
    func refill() {
        var status = stat()
        if lstat(path, &status) == 0, status.st_blocks * 512 >= Self.bytes { return }
        guard let file = try? OwnedDescriptor(path, flags: O_WRONLY | O_CREAT, mode: 0o600) else { return }
        if posix_fallocate(file.rawValue, 0, Self.bytes) != 0 { unlink(path) }
    }

    /// Gives the room up.
    ///
    /// - Returns: whether there was any room to give up.
    func give() -> Bool { unlink(path) == 0 }

    /// Does `work`, which must write. If the disk is full, gives the room up and does `work` again.
    func lend<Result>(_ work: () throws(RegistryError) -> Result) throws(RegistryError) -> Result {
        do throws(RegistryError) { return try work() } catch {
            guard isFull(error), give() else { throw error }
        }
        defer { refill() }
        return try work()
    }

    /// Whether the disk is full. SQLite reports some writes that found no room as errors of the disk.
    private func isFull(_ error: RegistryError) -> Bool {
        switch error {
        case .diskFull: true
        case .unreadable, .failed: isShort(ofBytes: UInt64(Self.bytes))
        case .newer, .damaged: false
        }
    }

    /// Whether less than `bytes` is free.
    private func isShort(ofBytes bytes: UInt64) -> Bool {
        var status = statvfs()
        guard statvfs(folder, &status) == 0 else { return false }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize) < bytes
    }

    /// Whether a twentieth of the disk or less is free. Then files that can be made again should go.
    var isScarce: Bool {
        var status = statvfs()
        guard statvfs(folder, &status) == 0 else { return false }
        return UInt64(status.f_bavail) * 20 <= UInt64(status.f_blocks)
    }
}
