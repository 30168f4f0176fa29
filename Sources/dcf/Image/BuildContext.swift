import Environments
import FunctionConfig
import SystemPackage

/// The input of an image's build: the function's folder as an archive, without the files that `.dcfignore` and
/// `.dockerignore` exclude. Files of the template complete a folder that lacks them.
struct BuildContext: AsyncSequence, Sendable {
    private static let pieceBytes = 1 << 18

    private let first: [UInt8]
    private let folder: PackedFolder

    /// - Throws: if the folder cannot be packed.
    init(_ directory: FilePath, _ template: FunctionTemplate) throws(CommandFailure) {
        folder = try PackedFolder(directory, forImage: true)
        first = template.files
            .filter { $0.name != "handler.py" && FileKind(at: directory.appending($0.name)) == nil }
            .flatMap { Bundle.entry(path: $0.name, content: Array($0.text.utf8)) }
    }

    /// The size of the archive in bytes.
    var size: Int64 { Int64(first.count + folder.size) }

    func makeAsyncIterator() -> Iterator { Iterator(first: first, folder: folder) }

    struct Iterator: AsyncIteratorProtocol {
        fileprivate var first: [UInt8]
        fileprivate let folder: PackedFolder
        private var offset = 0

        fileprivate init(first: [UInt8], folder: PackedFolder) {
            self.first = first
            self.folder = folder
        }

        mutating func next() async throws -> [UInt8]? {
            if !first.isEmpty {
                defer { first = [] }
                return first
            }
            guard offset < folder.size else { return nil }
            let piece = try folder.bytes(at: offset, count: BuildContext.pieceBytes)
            offset += piece.count
            return piece
        }
    }
}
