/// Writes entries as a plain tar archive: ustar, with pax headers for a path or size that does not fit. Equal entries
/// always give equal bytes.
enum TarWriter {
    /// The headers of an entry. The file's bytes follow, then `padding(after:)`.
    static func header(path: [UInt8], kind: TarHeader.Kind, size: UInt64 = 0, isExecutable: Bool = false) -> [UInt8] {
        let name = kind == .folder ? path + [0x2F] : path
        let plain = TarHeader(path: name, kind: kind, size: size, isExecutable: isExecutable)
        if let block = plain.encoded() { return block }
        let pathFits = TarHeader(path: name, kind: kind, size: 0).encoded() != nil
        let sizeFits = size <= TarHeader.sizeFieldMax
        let records = TarExtendedHeader(path: pathFits ? nil : name, size: sizeFits ? nil : size).encoded()
        let count = UInt64(records.count)
        let extended = TarHeader(path: Array("pax".utf8), kind: .extended, size: count)
        let short = TarHeader(
            path: pathFits ? name : Array(name.suffix(60)), kind: kind, size: sizeFits ? size : 0,
            isExecutable: isExecutable)
        return (extended.encoded() ?? []) + records + padding(after: count) + (short.encoded() ?? [])
    }

    /// The zeros that complete the last block of a file of this size.
    static func padding(after size: UInt64) -> [UInt8] {
        let rest = Int(size % UInt64(TarHeader.blockBytes))
        return rest == 0 ? [] : [UInt8](repeating: 0, count: TarHeader.blockBytes - rest)
    }

    /// The two blocks of zeros at the archive's end.
    static let end = [UInt8](repeating: 0, count: 2 * TarHeader.blockBytes)
}
