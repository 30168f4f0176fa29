internal import CLinux
internal import Environments
internal import Glibc
internal import Locks
internal import SystemPackage

/// The gateway's end of the socket to a template; a message is sent and received as a whole. Never waits.
final class TemplateChannel: Sendable {
    enum Reading {
        case message([UInt8])
        /// None is there now.
        case nothing
        case ended
    }

    private static let messageBytesMax = 64 << 10

    private let socket: OwnedDescriptor
    /// The template's end, until it is started.
    private let other: Lock<OwnedDescriptor?>

    init() throws(FileError) {
        var ends: [CInt] = [-1, -1]
        let kind = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw FileError("make", "a template's socket", Errno(rawValue: errno))
        }
        socket = OwnedDescriptor(owning: ends[0])
        other = Lock(OwnedDescriptor(owning: ends[1]))
    }

    var descriptor: CInt { socket.rawValue }

    /// The end that becomes the template's standard input; once.
    func takeOtherEnd() -> OwnedDescriptor? {
        other.withLock { $0.take() }
    }

    /// - Parameter descriptors: the template gets copies.
    /// - Returns: whether it was sent; a template that does not read will not get any more.
    func send(_ request: TemplateRequest, descriptors: [CInt] = []) -> Bool {
        let bytes = request.bytes
        return retrying {
            dcf_send_descriptors(socket.rawValue, bytes, bytes.count, descriptors, descriptors.count)
        } == bytes.count
    }

    func receive() -> Reading {
        var bytes = [UInt8](repeating: 0, count: Self.messageBytesMax)
        let count = bytes.withUnsafeMutableBytes { raw in
            retrying { recv(socket.rawValue, raw.baseAddress, raw.count, Int32(MSG_DONTWAIT)) }
        }
        if count < 0 && errno == EAGAIN { return .nothing }
        return count > 0 ? .message(Array(bytes[..<count])) : .ended
    }
}
