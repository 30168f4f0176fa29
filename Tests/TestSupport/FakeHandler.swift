import Glibc
import Platform
import Synchronization
package import WatcherLink

/// A watcher and its handler as a test plays them, on their own thread at the other end of a real link. The input of a
/// call says what the handler does:
///
///     echo TEXT         replies TEXT, with the metadata `x-seen`: the call's own, key=value and so on
///     pieces N SIZE     N pieces of SIZE bytes, as the credit allows
///     breaks N          N pieces of one byte, then the Error NOT_FOUND with metadata
///     forbidden         replies with metadata that a handler must not set
///     call NAME TEXT    calls another function, and replies with its reply or its failure
///     stray NAME TEXT   the same, from a thread that works on no call
///     wait              does nothing until it is cancelled
///     hold TEXT         replies TEXT once `release` is called
///     hang              never replies, also when it is cancelled
package final class FakeHandler: Sendable {
    /// What it has seen. A call is numbered by the order of arrival.
    package struct Seen {
        package var inputs: [String] = []
        package var metadata: [[String: String]] = []
        package var requestIDs: [String] = []
        package var remainingMicros: [UInt64] = []
        package var cancelled: [String] = []
        package var hadFlag: [Bool] = []
        package var sentBytes = 0
        package var creditedBytes = 0
        /// How often a generator had to wait for credit.
        package var waits = 0
        package var hasEnded = false
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
    /// Calls that wait for `release`.
    private let held = Mutex<[(id: UInt64, reply: [UInt8])]>([])
    /// Whether the next frame is read only after `resumeReading`.
    private let isPaused = Atomic<Bool>(false)
    private let resumed = Platform.Semaphore()
    /// Held while a frame is written.
    private let writing = Mutex(())

    /// Connects over a unix socket.
    ///
    /// - Parameter failure: the constructor's failure; nil lets it return.
    package init(path: String, token: String, failure: Failed? = nil) throws {
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

    /// Connects over TCP.
    package init(port: UInt16, token: String, task: String) throws {
        let watcher = RemoteWatcher(port: port)
        watcher.greet(token, task: task)
        descriptor = dup(watcher.descriptor)
        write(.ready, head: Ready(constructorMicros: 1).head)
        let running = Thread(name: "fake-handler") { [self] in run() }
        thread.withLock { $0 = running }
    }

    /// Ends the link only.
    package func breakLink() {
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Ends the link and its thread.
    package func stop() {
        breakLink()
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
        close(descriptor)
    }

    /// Replies to the calls that it holds.
    package func release() {
        let calls = held.withLock { held in
            defer { held = [] }
            return held
        }
        for call in calls { write(.reply, id: call.id, head: ReplyHead().head, payload: call.reply) }
    }

    /// Reads only the header of the next frame, and the rest once `resumeReading` is called.
    package func pauseReading() {
        isPaused.store(true, ordering: .sequentiallyConsistent)
    }

    package func resumeReading() {
        resumed.post()
    }

    package var now: Seen { seen.withLock { $0 } }

    /// Waits until `condition` is true of what it has seen.
    @discardableResult
    package func wait(_ condition: @escaping @Sendable (Seen) -> Bool) async -> Seen {
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
        writing.withLock { _ in send(frame) }
    }

    private func send(_ frame: [UInt8]) {
        var sent = 0
        while sent < frame.count {
            let count = frame.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress.map { $0 + sent }, frame.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// The calls that it works on, by their ids. Used on its thread.
    private struct Work {
        var generators: [UInt64: Generator] = [:]
        var waiting: [UInt64: String] = [:]
        /// The call that waits for each call to another function.
        var callers: [UInt64: UInt64] = [:]
        var lastOut: UInt64 = 0
    }

    private func run() {
        var work = Work()
        while let raw = SocketBytes.receive(from: descriptor, FrameHeader.size) {
            if isPaused.exchange(false, ordering: .sequentiallyConsistent) { resumed.wait() }
            let header = raw.withUnsafeBytes { bytes in bytes.baseAddress.map { FrameHeader(decoding: $0) } }
            guard let header, let head = SocketBytes.receive(from: descriptor, header.headLength),
                let payload = SocketBytes.receive(from: descriptor, header.payloadLength)
            else { break }
            switch FrameKind(rawValue: header.kind) {
            case .call: begin(header, head, payload, &work)
            case .credit:
                guard let credit = head.withUnsafeBytes({ try? Credit(head: $0) }) else { continue }
                note { $0.creditedBytes += Int(credit.bytes) }
                work.generators[header.id]?.credit += Int(credit.bytes)
                pump(header.id, &work.generators)
            case .cancel:
                let input =
                    work.waiting.removeValue(forKey: header.id)
                    ?? (work.generators.removeValue(forKey: header.id) == nil ? nil : "pieces")
                guard let input else { continue }
                write(.error, id: header.id, head: ErrorHead(code: 1, executed: .yes, message: "cancelled").head)
                note { $0.cancelled.append(input) }
            case .callReply:
                guard let reply = head.withUnsafeBytes({ try? CallReplyHead(head: $0) }),
                    let caller = work.callers.removeValue(forKey: header.id)
                else { continue }
                let text = reply.code == 0 ? payload : Array("\(reply.code) \(reply.message)".utf8)
                write(.reply, id: caller, head: ReplyHead().head, payload: text)
            default: continue
            }
        }
        note { $0.hasEnded = true }
    }

    /// Does with a call what its input says.
    private func begin(_ header: FrameHeader, _ head: [UInt8], _ payload: [UInt8], _ work: inout Work) {
        guard let call = head.withUnsafeBytes({ try? CallHead(head: $0) }) else { return }
        let input = String(decoding: payload, as: UTF8.self)
        // Before anyone can know that the call has come.
        if input.hasPrefix("hold ") {
            held.withLock { $0.append((header.id, Array(input.dropFirst(5).utf8))) }
        }
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
            work.generators[header.id] = Generator(left: Int(words[1]) ?? 0, size: Int(words[2]) ?? 0)
            pump(header.id, &work.generators)
        case "breaks":
            work.generators[header.id] = Generator(left: Int(words[1]) ?? 0, size: 1, breaks: true)
            pump(header.id, &work.generators)
        case "call", "stray":
            work.lastOut += 1
            work.callers[work.lastOut] = header.id
            let out = CallOutHead(
                parent: words[0] == "call" ? header.id : 0, timeoutMicros: 0, function: words[1],
                metadata: [Metadatum(key: "x-of", value: "handler")])
            write(.callOut, id: work.lastOut, head: out.head, payload: Array(words[2].utf8))
        case "forbidden":
            let names = [
                "grpc-status", "dcf-executed", ":path", "content-type", "X-Upper", "x-request-id", "x-good",
            ]
            write(
                .reply, id: header.id, head: ReplyHead(metadata: names.map { Metadatum(key: $0, value: "v") }).head)
        case "wait":
            work.waiting[header.id] = input
        case "hold", "hang":
            break
        default:
            write(
                .reply, id: header.id, head: ReplyHead(metadata: [Metadatum(key: "x-from", value: "handler")]).head,
                payload: Array(input.dropFirst(5).utf8))
        }
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
