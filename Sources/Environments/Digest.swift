import Crypto

/// A running SHA-256.
package struct Digest: Sendable {
    private var hash = SHA256()

    package init() {}

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        hash.update(bufferPointer: bytes)
    }

    package mutating func add(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
    }

    package mutating func add(_ text: String) {
        add(Array(text.utf8))
    }

    /// Adds the length, then the bytes, so that two texts in a row cannot equal another two.
    package mutating func addCounted(_ bytes: [UInt8]) {
        add(String(bytes.count) + ":")
        add(bytes)
    }

    /// The digest of all added bytes, as 64 lower-case hexadecimal digits.
    package func hexadecimal() -> String {
        var text: [UInt8] = []
        for byte in hash.finalize() {
            for half in [byte >> 4, byte & 15] { text.append(half < 10 ? 0x30 + half : 0x57 + half) }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
