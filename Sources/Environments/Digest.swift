internal import COpenSSL

/// A running SHA-256. A value: what is added to a copy is not added to the original.
package struct Digest: Sendable {
    /// Owns a digest of OpenSSL's, which fails only for want of memory.
    private final class Context: @unchecked Sendable {
        // @unchecked: it changes only while one `Digest` holds it.
        private let pointer: OpaquePointer

        private init(setUp: (OpaquePointer) -> Int32) {
            guard let pointer = EVP_MD_CTX_new(), setUp(pointer) == 1 else { preconditionFailure("no memory") }
            self.pointer = pointer
        }

        convenience init() {
            self.init { EVP_DigestInit_ex($0, EVP_sha256(), nil) }
        }

        convenience init(copying other: Context) {
            self.init { EVP_MD_CTX_copy_ex($0, other.pointer) }
        }

        deinit {
            EVP_MD_CTX_free(pointer)
        }

        func add(_ bytes: UnsafeRawBufferPointer) {
            precondition(EVP_DigestUpdate(pointer, bytes.baseAddress, bytes.count) == 1)
        }

        /// The digest. Nothing may be added afterwards.
        func end() -> [UInt8] {
            var digest = [UInt8](repeating: 0, count: 32)
            precondition(EVP_DigestFinal_ex(pointer, &digest, nil) == 1)
            return digest
        }
    }

    private var context = Context()

    package init() {}

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        if !isKnownUniquelyReferenced(&context) { context = Context(copying: context) }
        context.add(bytes)
    }

    package mutating func add(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { add($0) }
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
        for byte in Context(copying: context).end() {
            for half in [byte >> 4, byte & 15] { text.append(half < 10 ? 0x30 + half : 0x57 + half) }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
