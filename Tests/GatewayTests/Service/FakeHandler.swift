import GRPC
@testable import Gateway
import Glibc
import Synchronization
import WatcherLink

/// A watcher in the hands of a test, on a thread of its own at the other end of a real link. What it does with a call is
/// said by the call's input:
///
///     echo TEXT         replies TEXT, with the metadata `x-seen`: the call's own, key=value and so on
///     pieces N SIZE     N pieces of SIZE bytes, as the credit allows
///     breaks N          N pieces of one byte, then the Error NOT_FOUND with metadata
///     forbidden         replies with metadata that is not a handler's to set
///     call NAME TEXT    calls another function, and replies what it replies, or why it does not
///     stray NAME TEXT   the same, as a thread that works on no call
///     wait              does nothing until it is cancelled
final class FakeHandler: Sendable {
    /// What it has seen; the number of a call is its place among those that came.
    struct Seen {
        var inputs: [String] = []
        var metadata: [[String: String]] = []
        var requestIDs: [String] = []
        var remainingMicros: [UInt64] = []
        var cancelled: [String] = []
        var hadFlag: [Bool] = []
        var sentBytes = 0
        var creditedBytes = 0
        /// Its generator had to wait for credit.
        var waits = 0
        var hasEnded = false
    }

    private struct Generator {
        var left: Int
        var size: Int
        var credit = Credit.initialBytes
        var breaks = false
    }

    private let descriptor: Int32
    private let seen = Mutex(Seen())
    private let changed = Mutex<[@Sendable (Seen) -> Bool]>([])
    private let thread = Mutex<Thread?>(nil)

    /// - Parameter failure: its constructor raises that, instead of returning.
    init(path: String, token: String, failure: Failed? = nil) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let descriptor = descriptor
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(result == 0)
        let hello = Hello(versions: LinkVersion.supported, pid: 1, token: token, pythonVersion: "3.12.0")
        write(.hello, head: hello.head)
        if let failure {
            write(.failed, head: failure.head)
        } else {
            write(.ready, head: Ready(constructorMicros: 1).head)
        }
        let running = Thread(name: "fake-handler") { [self] in run() }
        thread.withLock { $0 = running }
    }

    /// The same over TCP.
    init(port: UInt16, token: String, task: String) throws {
        let watcher = RemoteWatcher(port: port)
        watcher.greet(token, task: task)
        descriptor = dup(watcher.descriptor)
        write(.ready, head: Ready(constructorMicros: 1).head)
        let running = Thread(name: "fake-handler") { [self] in run() }
        thread.withLock { $0 = running }
    }

    /// Ends the link, and nothing else.
    func breakLink() {
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Ends the link and its thread.
    func stop() {
        breakLink()
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
        close(descriptor)
    }

    var now: Seen { seen.withLock { $0 } }

    /// Waits until what it has seen is as asked.
    @discardableResult
    func wait(_ condition: @escaping @Sendable (Seen) -> Bool) async -> Seen {
        await withCheckedContinuation { continuation in
            changed.withLock { waiting in
                waiting.append { seen in
                    guard condition(seen) else { return false }
                    continuation.resume(returning: seen)
                    return true
                }
            }
            note { _ in }
        }
    }

    private func note(_ change: (inout Seen) -> Void) {
        let seen = seen.withLock { seen in
            change(&seen)
            return seen
        }
        changed.withLock { waiting in waiting.removeAll { $0(seen) } }
    }

    // MARK: On its thread

    private func write(
        _ kind: FrameKind, flags: FrameFlags = .none, id: UInt64 = 0, head: [UInt8] = [], payload: [UInt8] = []
    ) {
        let frame = FrameHeader.frame(kind, flags: flags, id: id, head: head, payload: payload)
        var sent = 0
        while sent < frame.count {
            let count = frame.withUnsafeBytes {
                send(descriptor, $0.baseAddress.map { $0 + sent }, frame.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    private func run() {
        var generators: [UInt64: Generator] = [:]
        var waiting: [UInt64: String] = [:]
        /// Calls that wait for what they called.
        var callers: [UInt64: UInt64] = [:]
        var lastOut: UInt64 = 0
        while let raw = SocketBytes.receive(from: descriptor, FrameHeader.size) {
            let header = raw.withUnsafeBytes { bytes in bytes.baseAddress.map { FrameHeader(decoding: $0) } }
            guard let header, let head = SocketBytes.receive(from: descriptor, header.headLength),
                let payload = SocketBytes.receive(from: descriptor, header.payloadLength)
            else { break }
            switch FrameKind(rawValue: header.kind) {
            case .call:
                guard let call = head.withUnsafeBytes({ try? CallHead(head: $0) }) else { continue }
                let input = String(decoding: payload, as: UTF8.self)
                note { seen in
                    seen.inputs.append(input)
                    seen.requestIDs.append(call.requestID)
                    seen.remainingMicros.append(call.remainingMicros)
                    seen.hadFlag.append(header.flags.contains(.stream))
                    seen.metadata.append(Dictionary(call.metadata.map { ($0.key, $0.value) }) { $1 })
                }
                let words = input.split(separator: " ", maxSplits: 2).map(String.init)
                switch words.first {
                case "pieces":
                    generators[header.id] = Generator(left: Int(words[1]) ?? 0, size: Int(words[2]) ?? 0)
                    pump(header.id, &generators)
                case "breaks":
                    generators[header.id] = Generator(left: Int(words[1]) ?? 0, size: 1, breaks: true)
                    pump(header.id, &generators)
                case "call", "stray":
                    lastOut += 1
                    callers[lastOut] = header.id
                    let out = CallOutHead(
                        parent: words[0] == "call" ? header.id : 0, timeoutMicros: 0, service: words[1],
                        metadata: [Metadatum(key: "x-of", value: "handler")])
                    write(.callOut, id: lastOut, head: out.head, payload: Array(words[2].utf8))
                case "forbidden":
                    let pairs = [
                        "grpc-status", "dcf-executed", ":path", "content-type", "X-Upper", "x-request-id", "x-good",
                    ]
                    .map { Metadatum(key: $0, value: "v") }
                    write(.reply, id: header.id, head: ReplyHead(metadata: pairs).head)
                case "wait":
                    waiting[header.id] = input
                default:
                    write(
                        .reply, id: header.id,
                        head: ReplyHead(metadata: [Metadatum(key: "x-from", value: "handler")]).head,
                        payload: Array(input.dropFirst(5).utf8))
                }
            case .credit:
                guard let credit = head.withUnsafeBytes({ try? Credit(head: $0) }) else { continue }
                note { $0.creditedBytes += Int(credit.bytes) }
                generators[header.id]?.credit += Int(credit.bytes)
                pump(header.id, &generators)
            case .cancel:
                let input =
                    waiting.removeValue(forKey: header.id)
                    ?? (generators.removeValue(forKey: header.id) == nil ? nil : "pieces")
                guard let input else { continue }
                write(.error, id: header.id, head: ErrorHead(code: 1, executed: .yes, message: "cancelled").head)
                note { $0.cancelled.append(input) }
            case .callReply:
                guard let reply = head.withUnsafeBytes({ try? CallReplyHead(head: $0) }),
                    let caller = callers.removeValue(forKey: header.id)
                else { continue }
                let text = reply.code == 0 ? payload : Array("\(reply.code) \(reply.message)".utf8)
                write(.reply, id: caller, head: ReplyHead().head, payload: text)
            default: continue
            }
        }
        note { $0.hasEnded = true }
    }

    private func pump(_ id: UInt64, _ generators: inout [UInt64: Generator]) {
        guard var generator = generators[id] else { return }
        let piece = [UInt8](repeating: UInt8(ascii: "p"), count: generator.size)
        var sent = 0
        while generator.left > 0, generator.credit > 0 {
            write(.piece, id: id, payload: piece)
            generator.left -= 1
            generator.credit -= piece.count
            sent += piece.count
        }
        if generator.left > 0 {
            generators[id] = generator
        } else {
            generators[id] = nil
            if generator.breaks {
                let error = ErrorHead(
                    code: 5, executed: .yes, message: "broke", metadata: [Metadatum(key: "x-why", value: "test")])
                write(.error, id: id, head: error.head)
            } else {
                write(.end, id: id, head: ReplyHead(metadata: [Metadatum(key: "x-end", value: "yes")]).head)
            }
        }
        let waits = generator.left > 0
        note { seen in
            seen.sentBytes += sent
            if waits { seen.waits += 1 }
        }
    }
}
