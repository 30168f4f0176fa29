import Environments
import Glibc
import Platform
import SystemPackage

/// A bundle that is being received. Bytes are added in order. Then the bundle is committed, or dropped with this
/// object.
///
/// Safe to use from any thread; calls are done one after another.
package final class BundleWriter: Sendable {
    private struct State: ~Copyable {
        var file: OwnedDescriptor?
        var digest = Digest()
        var bytes: UInt64 = 0
    }

    private let temporary: String
    private let final: String
    private let folder: String
    private let sha256: String
    private let size: UInt64
    private let state: Lock<State>

    init(temporary: String, final: String, folder: String, sha256: String, size: UInt64) throws(BundleStoreError) {
        self.temporary = temporary
        self.final = final
        self.folder = folder
        self.sha256 = sha256
        self.size = size
        state = Lock(
            State(
                file: try BundleStoreError.explaining { () throws(FileError) in
                    try OwnedDescriptor(temporary, flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o644)
                }))
    }

    deinit {
        if state.withLock({ $0.file != nil }) { unlink(temporary) }
    }

    /// Adds the next bytes. After an error, every further call fails.
    package func append(_ bytes: [UInt8]) throws(BundleStoreError) {
        try state.withLock { state throws(BundleStoreError) in
            let came = state.bytes + UInt64(bytes.count)
            guard came <= size else { throw .wrongSize(announced: size, came: came) }
            guard let file = state.file.take() else { throw .file(FileError("write", temporary, .badFileDescriptor)) }
            do throws(FileError) {
                try file.write(bytes, path: temporary)
            } catch {
                unlink(temporary)
                throw BundleStoreError(error)
            }
            state.file = consume file
            state.digest.add(bytes)
            state.bytes = came
        }
    }

    /// Makes the bundle part of the store. When this returns, the bundle is on the disk. When it throws, the bundle is
    /// not in the store.
    package func commit() throws(BundleStoreError) {
        try state.withLock { state throws(BundleStoreError) in
            guard let file = state.file.take() else { throw .file(FileError("write", temporary, .badFileDescriptor)) }
            var isRenamed = false
            defer { if !isRenamed { unlink(temporary) } }
            guard state.bytes == size else { throw .wrongSize(announced: size, came: state.bytes) }
            let came = state.digest.hexadecimal()
            guard came == sha256 else { throw .wrongContent(announced: sha256, came: came) }
            do throws(FileError) {
                try file.sync(path: temporary)
                try Folder.rename(temporary, to: final)
                isRenamed = true
                try Folder.sync(folder)
            } catch { throw BundleStoreError(error) }
        }
    }
}
