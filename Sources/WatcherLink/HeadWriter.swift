/// Builds the head of a frame: integers little-endian, strings as u16 length and UTF-8.
package struct HeadWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func write<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Writes a string; what is beyond 65,535 bytes of UTF-8 is cut.
    package mutating func write(_ string: String) {
        let utf8 = Array(string.utf8.prefix(Int(UInt16.max)))
        write(UInt16(utf8.count))
        bytes.append(contentsOf: utf8)
    }

    /// Writes bytes whose number both ends know.
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
