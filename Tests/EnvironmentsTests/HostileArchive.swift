/// Builds tar archives byte by byte, hostile ones included.
struct HostileArchive {
    var bytes: [UInt8] = []

    static func block(
        _ name: String, type: Character = "0", size: String = "00000000000", mode: String = "0000644",
        link: String = "",
        magic: String = "ustar\u{0}00", prefix: String = ""
    ) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ offset: Int) {
            for (index, byte) in text.utf8.enumerated() where offset + index < 512 { block[offset + index] = byte }
        }
        put(String(name.prefix(100)), 0)
        put(mode, 100)
        put("0000000", 108)
        put("0000000", 116)
        put(size, 124)
        put("00000000000", 136)
        put(String(type), 156)
        put(link, 157)
        put(magic, 257)
        put(prefix, 345)
        return summed(block)
    }

    /// The block with a correct checksum.
    static func summed(_ block: [UInt8]) -> [UInt8] {
        var block = block
        for index in 148..<156 { block[index] = 0x20 }
        let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
        let field = String(repeating: "0", count: 6 - sum.utf8.count) + sum + "\u{0} "
        for (index, byte) in field.utf8.enumerated() { block[148 + index] = byte }
        return block
    }

    mutating func add(_ block: [UInt8], content: String = "") {
        bytes += block + Array(content.utf8)
        bytes += [UInt8](repeating: 0, count: (512 - content.utf8.count % 512) % 512)
    }

    mutating func addFile(_ name: String, _ content: String = "x", prefix: String = "") {
        let size = String(content.utf8.count, radix: 8)
        add(
            Self.block(name, size: String(repeating: "0", count: 11 - size.utf8.count) + size, prefix: prefix),
            content: content)
    }

    /// Adds an extended header with exactly these records.
    mutating func addExtended(_ records: String, type: Character = "x") {
        let size = String(records.utf8.count, radix: 8)
        add(
            Self.block("pax", type: type, size: String(repeating: "0", count: 11 - size.utf8.count) + size),
            content: records)
    }

    static func record(_ key: String, _ value: String) -> String {
        let body = " \(key)=\(value)\n"
        var length = body.utf8.count
        while String(length).utf8.count + body.utf8.count != length {
            length = String(length).utf8.count + body.utf8.count
        }
        return String(length) + body
    }

    mutating func end() { bytes += [UInt8](repeating: 0, count: 1024) }
}
