import Glibc

/// Reads an exact number of bytes from a blocking socket.
package enum SocketBytes {
    /// Exactly `count` bytes; nil when the other end sends fewer.
    package static func receive(from descriptor: Int32, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress.map { $0 + filled }, count - filled, 0)
            }
            if got <= 0 { return nil }
            filled += got
        }
        return bytes
    }
}
