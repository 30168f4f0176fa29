internal import CLinux
internal import Glibc
internal import Platform
internal import SystemPackage

/// The gateway's end of the socket to a template. Each message is sent and received as a whole. No method waits.
final class TemplateChannel: Sendable {
    enum Reading {
        case message([UInt8])
        /// There is no message now.
        case nothing
        case ended
    }

    private static let messageBytesMax = 64 << 10

    private let socket: OwnedDescriptor
    /// The template's end, until the template is started.
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

    /// Returns the end that becomes the template's standard input. Can be called once.
    func takeOtherEnd() -> OwnedDescriptor? {
        other.withLock { $0.take() }
    }

    /// - Parameter descriptors: the template gets copies of them.
    /// - Returns: whether the request was sent. A template that does not read gets no more requests.
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

/// A request of the gateway to a template. Fields are separated by zero bytes, which no field can hold.
enum TemplateRequest: Equatable {
    /// Start a replica. The descriptors of its standard output, its standard error and its barrier come with the
    /// request.
    ///
    /// - Parameters:
    ///   - number: is repeated in the report.
    ///   - cpus: the CPUs that the replica may use. Empty is no restriction.
    ///   - variables: are added to the template's own.
    case fork(number: UInt64, cpus: [Int], variables: [String: String])
    /// Reap this process, which has ended. The gateway sends it no more signals, so its ID may be used again.
    case reap(pid: Int32)

    var bytes: [UInt8] {
        let fields: [String] =
            switch self {
            case .fork(let number, let cpus, let variables):
                ["fork", "\(number)", cpus.map(String.init).joined(separator: ",")]
                    + variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            case .reap(let pid): ["reap", "\(pid)"]
            }
        return Array(fields.joined(separator: "\0").utf8)
    }
}

/// A report of a template to the gateway. Fields are separated by zero bytes.
enum TemplateReport: Equatable {
    /// The imports are done.
    case ready
    /// The imports failed, or left something behind that does not survive a fork.
    case refused(ConstructorFailure)
    /// A replica's process exists and waits at its barrier.
    case forked(number: UInt64, pid: Int32)
    /// A replica's process could not be forked.
    case failed(number: UInt64, reason: String)
    /// A process has been reaped. The status is the one of `waitpid`.
    case ended(pid: Int32, status: Int32)

    /// Reads a report. Nil if no template sends such a message.
    init?(_ message: [UInt8]) {
        let fields = message.split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        switch (fields[0], fields.count) {
        case ("ready", 1): self = .ready
        case ("refused", 3): self = .refused(ConstructorFailure(summary: fields[1], traceback: fields[2]))
        case ("forked", 3):
            guard let number = UInt64(fields[1]), let pid = Int32(fields[2]), pid > 1 else { return nil }
            self = .forked(number: number, pid: pid)
        case ("failed", 3):
            guard let number = UInt64(fields[1]) else { return nil }
            self = .failed(number: number, reason: fields[2])
        case ("ended", 3):
            guard let pid = Int32(fields[1]), let status = Int32(fields[2]) else { return nil }
            self = .ended(pid: pid, status: status)
        default: return nil
        }
    }
}
