@testable import Gateway
import GRPC
import Glibc
import Synchronization
import WatcherLink

/// The other end of a real link, in the hands of a test: what the gateway wrote is read from the socket, and answers go
/// the way that they would.
final class FakeWatcher {
    struct Frame: Equatable {
        var kind: FrameKind
        var id: UInt64
        var payload: String
    }

    let slots: ReplicaSlots
    private let link: ReplicaLink
    private let route: FunctionRoute
    private let descriptor: Int32
    private let observer = Observer()
    private var bytes: [UInt8] = []
    private var sends: [SentCall] = []
    private let blocking = Blocking()

    /// Whether the gateway has more to write than the socket took.
    private final class Blocking: Sendable {
        private let value = Atomic<Bool>(false)

        func set() { value.store(true, ordering: .relaxed) }
        func take() -> Bool { value.exchange(false, ordering: .relaxed) }
    }

    private final class Observer: ReplicaLinkObserver {
        let settings: [UInt8] = []
        func linkIsReady(_ link: ReplicaLink, constructorMicros: UInt64) {}
        func linkFailed(_ failed: Failed, traceback: String) {}
        func linkEnded(_ link: ReplicaLink, reason: String) {}
    }

    /// Attached to the route, unless told otherwise.
    init(
        _ route: FunctionRoute, _ settings: RouteSettings, at now: MonotonicTime, attached: Bool = true,
        onOverrun: @escaping @Sendable (ReplicaOverrun) -> Void = { _ in }
    ) {
        self.route = route
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
        precondition(socketpair(AF_UNIX, type, 0, &ends) == 0)
        descriptor = ends[1]
        let observer = observer
        let blocking = blocking
        // Nothing is called from a handler here.
        let invoker = Invoker(
            routes: RouteTable(),
            sweeper: Sweeper(busy: BusyRoutes(), calls: CompletionQueue(name: "calls", threads: 0)),
            maxInputBytes: 1 << 20, maxMetadataBytes: 8 << 10, chainDepth: 8)
        link = ReplicaLink(
            descriptor: ends[0], maxBodyBytes: 1 << 20, invoker: invoker, onBlocked: { blocking.set() },
            redeem: { _ in .observer(observer, token: "") })
        slots = ReplicaSlots(link: link, settings: settings, onOverrun: onOverrun)
        write(.hello, head: Hello(versions: LinkVersion.supported, pid: 1, token: "", pythonVersion: "3.12").head)
        write(.ready, head: Ready(constructorMicros: 1).head)
        _ = received()
        link.serve(slots, of: route)
        if attached { route.attach(slots, at: now) }
    }

    deinit {
        close(descriptor)
        // The two know each other.
        link.detach(how: "the test is over")
    }

    private func write(_ kind: FrameKind, id: UInt64 = 0, head: [UInt8] = [], payload: [UInt8] = []) {
        let frame = FrameHeader.frame(kind, id: id, head: head, payload: payload)
        precondition(Glibc.write(descriptor, frame, frame.count) == frame.count)
        precondition(link.readable() == nil)
    }

    /// The frames that the gateway wrote since the last time.
    func received() -> [Frame] {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count > 0 {
                bytes += chunk.prefix(count)
            } else if blocking.take() {
                link.writable()
            } else {
                break
            }
        }
        var frames: [Frame] = []
        while bytes.count >= FrameHeader.size {
            let header = bytes.withUnsafeBytes { raw in
                raw.baseAddress.map { FrameHeader(decoding: $0) }
            }
            guard let header, let kind = FrameKind(rawValue: header.kind) else { break }
            let end = FrameHeader.size + header.bodyLength
            guard bytes.count >= end else { break }
            let payload = bytes[(FrameHeader.size + header.headLength)..<end]
            frames.append(Frame(kind: kind, id: header.id, payload: String(decoding: payload, as: UTF8.self)))
            if kind == .batch { frames[frames.count - 1].payload = "\(bytes[FrameHeader.size])" }
            bytes.removeFirst(end)
        }
        return frames
    }

    /// Waits until the gateway has written something.
    func waitForFrames() -> [Frame] {
        var one = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        // A signal may end the wait.
        while poll(&one, 1, -1) < 0 {}
        return received()
    }

    /// The inputs of the calls that came since the last time.
    func calls() -> [String] { received().filter { $0.kind == .call }.map(\.payload) }

    /// Replies to the calls with these ids, in one go.
    func reply(_ ids: [UInt64], at now: MonotonicTime) {
        var answers = ids.map { id in
            LinkAnswer(
                FrameReader.Frame(
                    header: FrameHeader(kind: .reply, id: id, headLength: 2, payloadLength: 0), offset: 0))
        }
        route.answered(&answers, by: slots, sends: &sends, at: now)
        for answer in answers { answer.invocation?.fail(FakeCall.replied) }
    }

    /// Gives calls back.
    func giveBack(_ ids: [UInt64]) {
        write(.returned, head: Returned(calls: ids).head)
    }

    /// The same at a moment of the test's own.
    func giveBack(_ ids: [UInt64], at now: MonotonicTime) {
        route.returned(ids, by: slots, at: now)
    }

    func detach() { route.detach(slots, how: "killed") }
}
