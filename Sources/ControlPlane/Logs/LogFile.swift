import CLinux
import Glibc
import Platform

/// The file that a function's log is written to, and the rotation of the earlier files. One thread uses it at a time.
struct LogFile: ~Copyable {
    /// The most that is written at once, in bytes. When a write fails, all of its lines are lost.
    private static let chunkBytes = 64 << 10

    private let folder: String
    private let limits: FunctionLogLimits
    private var file: OwnedDescriptor?
    private var bytes = 0
    /// Identifies the open file, even after it has been renamed.
    private var identity: (device: dev_t, number: ino_t) = (0, 0)

    init(folder: String, limits: FunctionLogLimits) {
        self.folder = folder
        self.limits = limits
    }

    private var path: String { folder + "/log" }

    /// Writes the entries in their order.
    /// - Returns: how many lines are lost because they could not be written.
    mutating func write(_ entries: [LogEntry]) -> Int {
        if file != nil, !isInPlace { file = nil }
        var lost = 0
        var index = 0
        while index < entries.count {
            var chunk = entries[index].bytes
            var lines = entries[index].lines
            index += 1
            while index < entries.count, chunk.count + entries[index].bytes.count <= Self.chunkBytes,
                bytes + chunk.count + entries[index].bytes.count <= limits.fileBytes
            {
                chunk += entries[index].bytes
                lines += entries[index].lines
                index += 1
            }
            if !put(chunk) { lost += lines }
        }
        return lost
    }

    /// Closes the file. The next entry opens it again.
    mutating func close() {
        file = nil
    }

    /// Removes the file that was written last, if it is still in its place, and the folder, if it is empty then. This
    /// is for a log that was removed while it was written.
    mutating func remove() {
        guard file != nil else { return }
        if isInPlace { unlink(path) }
        file = nil
        rmdir(folder)
    }

    /// Whether the open file is still the log's current file. Another program may have moved or removed it, or its
    /// folder.
    private var isInPlace: Bool {
        var status = stat()
        return lstat(path, &status) == 0 && (status.st_dev, status.st_ino) == (identity.device, identity.number)
    }

    /// Writes the whole chunk. When that fails, it removes the part that was written.
    ///
    /// - Returns: whether the chunk is written.
    private mutating func put(_ chunk: [UInt8]) -> Bool {
        do throws(FileError) {
            if file == nil { try open() }
            if bytes > 0, bytes + chunk.count > limits.fileBytes {
                file = nil
                try rotate()
                try open()
            }
            guard let file = file.take() else { return false }
            do throws(FileError) {
                try file.write(chunk, path: folder)
            } catch {
                // A part of the chunk may be written. The file ends with a whole line again.
                ftruncate(file.rawValue, off_t(bytes))
                self.file = consume file
                throw error
            }
            self.file = consume file
            bytes += chunk.count
            return true
        } catch { return false }
    }

    private mutating func open() throws(FileError) {
        try Folder.make(folder)
        let file = try OwnedDescriptor(path, flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
        let status = try file.status(path: path)
        bytes = Int(status.st_size)
        identity = (status.st_dev, status.st_ino)
        self.file = consume file
    }

    private func rotate() throws(FileError) {
        for number in stride(from: limits.files - 1, through: 1, by: -1) {
            let older = "\(folder)/log.\(number)"
            let newer = number == 1 ? path : "\(folder)/log.\(number - 1)"
            if Folder.holds(newer) { try Folder.rename(newer, to: older) }
        }
        if limits.files == 1 { try Folder.remove(path) }
    }
}
