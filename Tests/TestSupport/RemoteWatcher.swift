import Glibc
package import WatcherLink

/// The watcher's end of a link over TCP, as a test plays it.
package final class RemoteWatcher {
    package struct Frame {
        package let header: FrameHeader
        package let head: [UInt8]

        package var kind: FrameKind? { FrameKind(rawValue: header.kind) }
    }

    package let descriptor: Int32

    /// Connects, and sends nothing.
    package init(port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let descriptor = descriptor
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(result == 0)
    }

    deinit {
        close(descriptor)
    }

    package func write(bytes: [UInt8]) {
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    package func write(_ kind: FrameKind, head: [UInt8] = []) {
        write(bytes: FrameHeader.frame(kind, head: head))
    }

    /// The next frame; nil at the end of the link.
    package func read() -> Frame? {
        guard let raw = SocketBytes.receive(from: descriptor, FrameHeader.size) else { return nil }
        guard let header = raw.withUnsafeBytes({ $0.baseAddress.map { FrameHeader(decoding: $0) } }),
            let head = SocketBytes.receive(from: descriptor, header.headLength),
            SocketBytes.receive(from: descriptor, header.payloadLength) != nil
        else { return nil }
        return Frame(header: header, head: head)
    }

    /// The bytes that the gateway wants authenticated.
    package func challenge() -> [UInt8]? {
        guard let frame = read(), frame.kind == .challenge else { return nil }
        return frame.head.withUnsafeBytes { try? Challenge(head: $0) }?.nonce
    }

    package static func hello(_ token: String, task: String, challenge: [UInt8], nonce: [UInt8] = LinkProof.nonce())
        -> Hello
    {
        let code = LinkProof.ofWatcher(token: token, nonce: challenge, task: task)
        return Hello(
            versions: LinkVersion.supported, pid: 7, token: "", pythonVersion: "3.12.0",
            proof: Hello.Proof(task: task, code: code, nonce: nonce))
    }

    /// Proves `token`, and does not wait for the answer. Returns false when the link has ended before.
    @discardableResult
    package func greet(_ token: String, task: String = "", nonce: [UInt8] = LinkProof.nonce()) -> Bool {
        guard let challenge = challenge() else { return false }
        write(.hello, head: Self.hello(token, task: task, challenge: challenge, nonce: nonce).head)
        return true
    }

    package func welcome() -> Welcome? {
        guard let frame = read(), frame.kind == .welcome else { return nil }
        return frame.head.withUnsafeBytes { try? Welcome(head: $0) }
    }
}
