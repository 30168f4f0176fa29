import Glibc
import Platform
import SystemPackage

/// Reads an untrusted tar archive from an open file, entry by entry.
///
/// `next()` returns the description of an entry. Then read its content with `content(into:)` until that returns 0.
struct TarReader: ~Copyable {
    struct Entry {
        let path: [UInt8]
        let isFolder: Bool
        let size: UInt64
        let isExecutable: Bool

        var name: String { String(decoding: path, as: UTF8.self) }
    }

    private let file: OwnedDescriptor
    private let archivePath: String
    private let fileBytes: UInt64
    /// How far the archive has been read, in bytes.
    private(set) var offset: UInt64 = 0
    private var contentLeft: UInt64 = 0
    private var paddingLeft: UInt64 = 0

    init(path: String) throws(BundleError) {
        let opened = try bundling { () throws(FileError) in
            try OwnedDescriptor(path, flags: O_RDONLY | O_NONBLOCK, following: true)
        }
        let status = try bundling { () throws(FileError) in try opened.status(path: path) }
        guard status.isFile else { throw .file(FileError("read", path, .invalidArgument)) }
        fileBytes = UInt64(status.st_size)
        file = opened
        archivePath = path
    }

    /// The next entry. Nil at the proper end of the archive.
    mutating func next() throws(BundleError) -> Entry? {
        precondition(contentLeft == 0, "the last entry's content was not taken")
        var extended: TarExtendedHeader?
        while true {
            _ = try readBytes(paddingLeft, what: "padding")
            paddingLeft = 0
            let start = offset
            guard let header = try header() else {
                if extended != nil {
                    throw .damaged(offset: start, reason: "an extended header has no entry after it")
                }
                try end()
                return nil
            }
            switch header.kind {
            case .extended, .globalExtended:
                let records = try records(of: header, at: start)
                if header.kind == .extended {
                    extended = records
                } else if records.path != nil || records.size != nil {
                    throw .damaged(offset: start, reason: "a global header sets a path or size for all entries")
                }
            case .file, .folder:
                return try entry(header, extended)
            }
        }
    }

    /// Reads the next part of the entry's content into the buffer.
    ///
    /// - Returns: the number of bytes. 0 at the end of the content.
    mutating func content(into buffer: inout [UInt8]) throws(BundleError) -> Int {
        let wanted = Int(min(UInt64(buffer.count), contentLeft))
        if wanted == 0 { return 0 }
        try fill(&buffer, count: wanted)
        contentLeft -= UInt64(wanted)
        return wanted
    }

    private mutating func header() throws(BundleError) -> TarHeader? {
        let start = offset
        let block = try readBytes(UInt64(TarHeader.blockBytes), what: "header")
        do throws(TarHeader.Problem) {
            return try TarHeader.decoded(block[...])
        } catch {
            if let entry = error.entry { throw .refused(entry: entry, reason: error.reason) }
            throw .damaged(offset: start, reason: error.reason)
        }
    }

    private mutating func records(of header: TarHeader, at start: UInt64) throws(BundleError) -> TarExtendedHeader {
        guard header.size <= TarExtendedHeader.bytesMax else {
            throw .damaged(
                offset: start,
                reason:
                    "an extended header has \(header.size) bytes; \(TarExtendedHeader.bytesMax) are allowed")
        }
        let bytes = try readBytes(header.size, what: "extended header")
        paddingLeft = Self.padding(after: header.size)
        do throws(TarHeader.Problem) {
            return try TarExtendedHeader.decoded(bytes)
        } catch {
            if let entry = error.entry { throw .refused(entry: entry, reason: error.reason) }
            throw .damaged(offset: start, reason: error.reason)
        }
    }

    private mutating func entry(_ header: TarHeader, _ extended: TarExtendedHeader?) throws(BundleError) -> Entry {
        let entry = Entry(
            path: extended?.path ?? header.path, isFolder: header.kind == .folder, size: extended?.size ?? header.size,
            isExecutable: header.isExecutable)
        if entry.isFolder, entry.size != 0 {
            throw .refused(entry: entry.name, reason: "it is a folder with content")
        }
        guard entry.size <= fileBytes - offset else {
            throw .refused(
                entry: entry.name,
                reason: "it claims \(entry.size) bytes, but the archive has only \(fileBytes - offset) more")
        }
        contentLeft = entry.size
        paddingLeft = Self.padding(after: entry.size)
        return entry
    }

    private mutating func end() throws(BundleError) {
        let start = offset
        guard try readBytes(UInt64(TarHeader.blockBytes), what: "end").allSatisfy({ $0 == 0 }) else {
            throw .damaged(offset: start, reason: "the archive ends with one block of zeros instead of two")
        }
        while offset < fileBytes {
            let start = offset
            guard try readBytes(min(65536, fileBytes - offset), what: "end").allSatisfy({ $0 == 0 }) else {
                throw .damaged(offset: start, reason: "there is data after the archive's end")
            }
        }
    }

    private mutating func readBytes(_ count: UInt64, what: String) throws(BundleError) -> [UInt8] {
        guard count <= fileBytes - offset else {
            throw .damaged(offset: offset, reason: "it is cut off (the \(what) is missing)")
        }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        try fill(&bytes, count: bytes.count)
        return bytes
    }

    private mutating func fill(_ buffer: inout [UInt8], count wanted: Int) throws(BundleError) {
        var done = 0
        while done < wanted {
            let count: Int
            do throws(FileError) {
                count = try file.read(into: &buffer, from: done, upTo: wanted - done, path: archivePath)
            } catch { throw .file(error) }
            guard count > 0 else { throw .damaged(offset: offset, reason: "it is cut off") }
            done += count
            offset += UInt64(count)
        }
    }

    private static func padding(after size: UInt64) -> UInt64 {
        let rest = size % UInt64(TarHeader.blockBytes)
        return rest == 0 ? 0 : UInt64(TarHeader.blockBytes) - rest
    }
}
