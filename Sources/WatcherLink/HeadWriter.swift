/// Builds the head of a frame: integers are little-endian, strings are a u16 length and UTF-8.
package struct HeadWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func write<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Writes a string, cut after 65,535 bytes of UTF-8.
    package mutating func write(_ string: String) {
        let utf8 = Array(string.utf8.prefix(Int(UInt16.max)))
        write(UInt16(utf8.count))
        bytes.append(contentsOf: utf8)
    }

    /// Writes a field of bytes; both ends know its length.
    package mutating func write(bytes more: [UInt8]) {
        bytes += more
    }

    package mutating func write(_ pairs: [Metadatum]) {
        write(UInt16(pairs.count))
        for pair in pairs {
            write(pair.key)
            write(pair.value)
        }
    }
}
