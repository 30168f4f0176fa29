import Environments
import FunctionConfig
import GRPC
import SystemPackage

/// What the engine builds a function's image from: its folder as an archive, less what `.dcfignore` and `.dockerignore`
/// name, with the template's files where it has none of its own.
struct BuildContext: AsyncSequence, Sendable {
    private static let pieceBytes = 1 << 18

    private let first: [UInt8]
    private let folder: PackedFolder

    /// - Throws: when the folder cannot be packed.
    init(_ directory: FilePath, _ template: FunctionTemplate) throws(CommandFailure) {
        folder = try PackedFolder(directory, forImage: true)
        first = template.files
            .filter { $0.name != "handler.py" && FileKind(at: directory.appending($0.name)) == nil }
            .flatMap { Bundle.entry(path: $0.name, content: Array($0.text.utf8)) }
    }

    /// In bytes.
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
