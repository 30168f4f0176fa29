/// One 512-byte header block of a tar archive in the ustar format, with the fields that bundles use.
struct TarHeader: Equatable {
    static let blockBytes = 512
    /// The largest size that fits into the header's own field. A larger size needs an extended header.
    static let sizeFieldMax: UInt64 = 0o777_7777_7777

    enum Kind: UInt8 {
        case file = 0x30
        case folder = 0x35
        case extended = 0x78
        case globalExtended = 0x67
    }

    /// What is wrong with a block, for an error text.
    struct Problem: Error {
        let entry: String?
        let reason: String
    }

    var path: [UInt8]
    var kind: Kind
    var size: UInt64
    var isExecutable = false

    /// The block. Nil if the path or the size does not fit into its fields.
    func encoded() -> [UInt8]? {
        guard size <= Self.sizeFieldMax, let (prefix, name) = splitPath() else { return nil }
        var block = [UInt8](repeating: 0, count: Self.blockBytes)
        func put(_ bytes: some Sequence<UInt8>, at offset: Int) {
            for (index, byte) in bytes.enumerated() { block[offset + index] = byte }
        }
        put(name, at: 0)
        put(octal(kind == .folder || isExecutable ? 0o755 : 0o644, digits: 7), at: 100)
        put(octal(0, digits: 7), at: 108)
        put(octal(0, digits: 7), at: 116)
        put(octal(size, digits: 11), at: 124)
        put(octal(0, digits: 11), at: 136)
        block[156] = kind.rawValue
        put("ustar".utf8, at: 257)
        put("00".utf8, at: 263)
        put(prefix, at: 345)
        put(octal(Self.checksum(block), digits: 6), at: 148)
        block[155] = 0x20
        return block
    }

    /// Reads a block. Nil for a block of zeros, which ends an archive.
    static func decoded(_ block: ArraySlice<UInt8>) throws(Problem) -> TarHeader? {
        let block = Array(block)
        if block.allSatisfy({ $0 == 0 }) { return nil }
        let magic = block[257..<265]
        guard let sum = number(block[148..<156]), sum == checksum(block) else {
            throw Problem(entry: nil, reason: "the header's checksum is wrong, or this is not a tar archive")
        }
        var path = text(block[0..<100])
        if magic.elementsEqual("ustar\u{0}00".utf8) {
            let prefix = text(block[345..<500])
            if !prefix.isEmpty { path = prefix + [0x2F] + path }
        } else if !magic.elementsEqual("ustar  \u{0}".utf8) {
            throw Problem(entry: String(decoding: path, as: UTF8.self), reason: "its header is not in the ustar format")
        }
        let entry = String(decoding: path, as: UTF8.self)
        guard let size = number(block[124..<136]) else {
            throw Problem(entry: entry, reason: "its size is not an octal number")
        }
        guard let mode = number(block[100..<108]) else {
            throw Problem(entry: entry, reason: "its mode is not an octal number")
        }
        let flag = block[156] == 0 ? Kind.file.rawValue : block[156]
        guard let kind = Kind(rawValue: flag) else { throw Problem(entry: entry, reason: refusal(of: flag)) }
        return TarHeader(path: path, kind: kind, size: size, isExecutable: mode & 0o100 != 0)
    }

    private static func refusal(of flag: UInt8) -> String {
        switch flag {
        case 0x31: "it is a hard link; a bundle holds files and folders only"
        case 0x32: "it is a symbolic link; a bundle holds files and folders only"
        case 0x33, 0x34: "it is a device; a bundle holds files and folders only"
        case 0x36: "it is a named pipe; a bundle holds files and folders only"
        case 0x53: "it is a sparse file; a bundle holds plain files and folders only"
        case 0x4B, 0x4C: "GNU long names are not supported; write the archive in the pax format"
        default: "its type, 0x\(String(flag, radix: 16)), is unknown"
        }
    }

    /// The path as the two fields of the header: the name alone, or prefix and name, split at a slash. Nil if it does
    /// not fit.
    private func splitPath() -> (prefix: ArraySlice<UInt8>, name: ArraySlice<UInt8>)? {
        if path.count <= 100 { return ([], path[...]) }
        guard path.count <= 256 else { return nil }
        for index in path.indices.reversed() where path[index] == 0x2F {
            let name = path[(index + 1)...]
            if name.isEmpty || index > 155 { continue }
            return name.count <= 100 ? (path[..<index], name) : nil
        }
        return nil
    }

    private func octal(_ value: UInt64, digits: Int) -> [UInt8] {
        let text = String(value, radix: 8)
        return Array(String(repeating: "0", count: max(0, digits - text.count)).utf8) + Array(text.utf8)
    }

    /// The sum of the block's bytes. The checksum's own field counts as spaces.
    private static func checksum(_ block: [UInt8]) -> UInt64 {
        var sum: UInt64 = 0
        for (index, byte) in block.enumerated() { sum += (148..<156).contains(index) ? 0x20 : UInt64(byte) }
        return sum
    }

    private static func text(_ field: ArraySlice<UInt8>) -> [UInt8] { Array(field.prefix { $0 != 0 }) }

    private static func number(_ field: ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        var digits = 0
        var rest = field.drop { $0 == 0x20 }
        while let byte = rest.first, (0x30...0x37).contains(byte) {
            value = value << 3 | UInt64(byte - 0x30)
            digits += 1
            rest = rest.dropFirst()
        }
        guard digits > 0 || field.allSatisfy({ $0 == 0 || $0 == 0x20 }) else { return nil }
        return rest.allSatisfy { $0 == 0 || $0 == 0x20 } ? value : nil
    }
}
