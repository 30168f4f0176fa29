/// The records of a pax extended header: values that do not fit into the ustar fields of the next entry.
struct TarExtendedHeader {
    /// A longer header is refused without reading it.
    static let bytesMax: UInt64 = 64 << 10

    var path: [UInt8]?
    var size: UInt64?

    /// The records as bytes: `LENGTH KEY=VALUE\n`. The length includes its own digits.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        if let path { bytes += Self.record("path", path) }
        if let size { bytes += Self.record("size", Array(String(size).utf8)) }
        return bytes
    }

    /// Reads records. Skips times, owners and comments.
    static func decoded(_ bytes: [UInt8]) throws(TarHeader.Problem) -> TarExtendedHeader {
        var header = TarExtendedHeader()
        var rest = bytes[...]
        while !rest.isEmpty {
            guard let space = rest.prefix(8).firstIndex(of: 0x20),
                let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
                length > space - rest.startIndex + 2, length <= rest.count, rest[rest.startIndex + length - 1] == 0x0A
            else { throw TarHeader.Problem(entry: nil, reason: "an extended header is not valid") }
            let record = rest[(space + 1)..<(rest.startIndex + length - 1)]
            rest = rest[(rest.startIndex + length)...]
            guard let equals = record.firstIndex(of: 0x3D) else {
                throw TarHeader.Problem(entry: nil, reason: "an extended header is not valid")
            }
            try header.set(
                key: String(decoding: record[..<equals], as: UTF8.self), value: Array(record[(equals + 1)...]))
        }
        return header
    }

    private mutating func set(key: String, value: [UInt8]) throws(TarHeader.Problem) {
        switch key {
        case "path":
            path = value
        case "size":
            let text = String(decoding: value, as: UTF8.self)
            guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(text) else {
                throw TarHeader.Problem(
                    entry: path.map { String(decoding: $0, as: UTF8.self) }, reason: "its size is not a number")
            }
            size = number
        case _ where key.hasPrefix("GNU.sparse"):
            throw TarHeader.Problem(
                entry: path.map { String(decoding: $0, as: UTF8.self) },
                reason: "it is a sparse file; a bundle holds plain files and folders only")
        default:
            break
        }
    }

    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let body = Array(" \(key)=".utf8) + value + [0x0A]
        var length = body.count
        while String(length).utf8.count + body.count != length { length = String(length).utf8.count + body.count }
        return Array(String(length).utf8) + body
    }
}
