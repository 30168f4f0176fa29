import Environments
import GRPC
import Glibc
import Platform
import SystemPackage

/// A function's folder as one archive, in a temporary file without a name. The file disappears with this value.
final class PackedFolder: Sendable {
    let sha256: String
    /// The size of the archive in bytes.
    let size: Int
    private let file: FileDescriptor

    /// - Parameter forImage: whether `.dockerignore` applies too.
    init(_ directory: FilePath, forImage: Bool = false) throws(CommandFailure) {
        let temporary = FilePath(ProcessEnvironment["TMPDIR"] ?? "/var/tmp").appending("dcf-\(getpid()).tar")
        do throws(BundleError) {
            let summary = try Bundle.pack(folder: directory.string, toFile: temporary.string, forImage: forImage)
            sha256 = summary.sha256
            size = Int(summary.bytes)
        } catch {
            throw CommandFailure("\(directory): \(error)")
        }
        defer { unlink(temporary.string) }
        do {
            file = try FileDescriptor.open(temporary, .readOnly, options: .closeOnExec)
        } catch {
            throw CommandFailure("cannot read \(temporary): \(error)")
        }
    }

    deinit {
        try? file.close()
    }

    /// The bytes from an offset on: `count` bytes, or fewer at the end.
    func bytes(at offset: Int, count: Int) throws(Status) -> [UInt8] {
        do {
            return try [UInt8](unsafeUninitializedCapacity: min(count, size - offset)) { buffer, filled in
                let raw = UnsafeMutableRawBufferPointer(buffer)
                while filled < raw.count {
                    let rest = UnsafeMutableRawBufferPointer(rebasing: raw[filled...])
                    let read = try file.read(fromAbsoluteOffset: Int64(offset + filled), into: rest)
                    if read == 0 { break }
                    filled += read
                }
            }
        } catch {
            throw Status(.internal, "cannot read the packed folder: \(error)")
        }
    }
}
