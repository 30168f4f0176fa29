import Glibc

/// Reading as much as one wants from a socket that waits.
enum SocketBytes {
    /// Exactly so many; nil when the other end says less.
    static func receive(from descriptor: Int32, _ count: Int) -> [UInt8]? {
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
