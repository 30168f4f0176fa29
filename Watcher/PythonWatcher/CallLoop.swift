import CLinux
import CPython
import Glibc
import WatcherLink

/// Reads calls from the link, has the handler answer them one after another, and writes the answers.
///
/// It is the interpreter's main thread. While calls come fast they are answered straight from the input buffer, and
/// finished answers wait for each other, though never long: the guard's thread writes them when a call lasts. After a
/// call that took long, all that came meanwhile is read before the next begins, so that cancelled and expired calls
/// never start.
struct CallLoop: ~Copyable {
    /// A call longer than this may have others behind it that nobody waits for any more.
    private static let longCallNanos: Int64 = 1_000_000
    /// An answer waits at most this long for others while short calls follow.
    private static let flushNanos: Int64 = 100_000
    /// Payloads from this length on are received into their bytes object.
    private static let directReceiveBytes = 16 << 10
    /// Bytes at once that tell of many callers, or of a long payload.
    private static let streamBytes = 1_024
    /// Calls read ahead at most.
    private static let pendingMax = 1_024

    let socket: LinkSocket
    let handler: PythonObject
    let runtime: RuntimeCallbacks
    private let maxBodyLength = WatcherState.maxBodyLength
    private var input = InputBuffer()
    let output = OutputBuffer()
    /// Bytes of answers that wait, and since when. The guard may have written them already.
    private var waitingBytes = 0
    private var waitingSinceNanos: Int64 = 0
    /// Calls read ahead, oldest first from `pendingBegin` on; owned.
    private var pending: [UnsafeMutablePointer<RequestObject>] = []
    private var pendingBegin = 0
    /// Bytes of an optional frame that are still to be thrown away.
    private var bytesToSkip = 0
    private var isDraining = false
    /// Whether the last wait ended with so many bytes that more are likely there already.
    private var isStreaming = true
    /// The time of the last look at the clock: when bytes came, or the last call ended.
    private(set) var nowNanos: Int64 = 0
    /// When the last bytes came: the time that a call has left counts from here.
    private var receivedNanos: Int64 = 0
    /// `[scratch, request]`: the callee may use the first slot for `self`.
    private let arguments: UnsafeMutablePointer<PythonObject?>

    init(socket: LinkSocket, handler: PythonObject, runtime: RuntimeCallbacks) {
        self.socket = socket
        self.handler = handler
        self.runtime = runtime
        arguments = .allocate(capacity: 2)
        arguments.initialize(repeating: nil, count: 2)
    }

    deinit {
        arguments.deallocate()
    }

    /// Serves until a drain is done. What was answered before the link broke is written.
    mutating func run() throws(WatcherError) {
        do throws(WatcherError) {
            try serve()
        } catch {
            try? flush()
            throw error
        }
    }

    private mutating func serve() throws(WatcherError) {
        while true {
            while let request = try next() {
                try answer(request)
                Py_DecRef(request.object)
            }
            try flush()
            if isDraining { return }
            try waitForBytes()
        }
    }

    /// Writes the finished answers.
    mutating func flush() throws(WatcherError) {
        if waitingBytes == 0 { return }
        try output.flush(to: socket)
        waitingBytes = 0
    }

    // MARK: - One call

    private mutating func answer(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) {
        if request.pointee.isCancelled {
            return try refuse(request, code: 1, "cancelled before the call began")
        }
        if request.pointee.deadlineNanos != 0 && request.pointee.deadlineNanos <= nowNanos {
            return try refuse(request, code: 4, "the deadline passed before the call began")
        }
        if waitingBytes > 0 && output.wakesGuard() { LinkGuard.wake(for: output) }
        WatcherState.currentRequest = request
        arguments[1] = request.object
        let result = dcf_call_one(handler, arguments)
        let began = nowNanos
        nowNanos = MonotonicClock.nowNanos()
        if WatcherState.isForkedChild { runtime.endForkedChild(failed: result == nil) }
        if let result {
            try reply(to: request, with: result)
            Py_DecRef(result)
        } else {
            try reportException(request)
        }
        WatcherState.currentRequest = nil
        try settle(callNanos: nowNanos - began)
    }

    /// After a long call: answers leave, and what came meanwhile is looked at.
    private mutating func settle(callNanos: Int64) throws(WatcherError) {
        if callNanos > Self.longCallNanos {
            try flush()
            try readAhead()
        } else if waitingBytes > OutputBuffer.highWater
            || (waitingBytes > 0 && nowNanos - waitingSinceNanos > Self.flushNanos)
        {
            try flush()
        }
    }

    private mutating func refuse(
        _ request: UnsafeMutablePointer<RequestObject>, code: UInt8, _ message: String
    ) throws(WatcherError) {
        try fail(request, ErrorHead(code: code, executed: .no, message: message))
    }

    mutating func noteWaiting(_ bytes: Int) {
        if waitingBytes == 0 { waitingSinceNanos = nowNanos }
        waitingBytes = bytes
    }

    // MARK: - Reading

    private mutating func next() throws(WatcherError) -> UnsafeMutablePointer<RequestObject>? {
        if let request = nextPending() { return request }
        return try nextCall()
    }

    private mutating func nextPending() -> UnsafeMutablePointer<RequestObject>? {
        guard pendingBegin < pending.count else { return nil }
        let request = pending[pendingBegin]
        pendingBegin += 1
        if pendingBegin == pending.count {
            pending.removeAll(keepingCapacity: true)
            pendingBegin = 0
        }
        return request
    }

    /// Takes everything that can be had without waiting.
    private mutating func readAhead() throws(WatcherError) {
        while pending.count - pendingBegin < Self.pendingMax {
            if let request = try nextCall() {
                pending.append(request)
            } else if try !readNow() {
                return
            }
        }
    }

    /// A look without waiting spares giving the GIL away while calls stream in. With few bytes at a time, as with one
    /// caller, it would be in vain.
    private mutating func waitForBytes() throws(WatcherError) {
        if isStreaming, try readNow() { return }
        if WatcherState.hasPartialLine {
            WatcherState.hasPartialLine = false
            runtime.flushPartialLines()
        }
        input.received(try socket.receive(into: input.freeSpace()))
        noteReceived()
        isStreaming = input.count > Self.streamBytes
    }

    private mutating func readNow() throws(WatcherError) -> Bool {
        guard let count = try socket.receiveNow(into: input.freeSpace()) else { return false }
        input.received(count)
        noteReceived()
        return true
    }

    private mutating func noteReceived() {
        nowNanos = MonotonicClock.nowNanos()
        receivedNanos = nowNanos
    }

    /// Understands what is in the buffer as far as the next call; nil when more bytes are needed.
    private mutating func nextCall() throws(WatcherError) -> UnsafeMutablePointer<RequestObject>? {
        while true {
            if bytesToSkip > 0 {
                let count = min(bytesToSkip, input.count)
                input.consume(count)
                bytesToSkip -= count
            }
            guard input.count >= FrameHeader.size else { return nil }
            let header = FrameHeader(decoding: input.start)
            guard header.headLength <= header.bodyLength,
                header.bodyLength <= maxBodyLength + FrameHeader.headAllowance
            else { throw refusal(of: header) }
            if header.kind == FrameKind.call.rawValue { return try takeCall(header) }
            try take(header)
        }
    }

    /// A frame that is not a call. What it carries is of no use, so it is skipped when it comes.
    private mutating func take(_ header: FrameHeader) throws(WatcherError) {
        switch FrameKind(rawValue: header.kind) {
        case .cancel:
            for index in pendingBegin..<pending.count where pending[index].pointee.callID == header.id {
                pending[index].pointee.isCancelled = true
            }
        case .drain:
            isDraining = true
            dcf_atomic_store(&WatcherState.isDraining, 1)
        case .hello, .welcome, .ready, .failed, .call, .reply, .error:
            throw .link(LinkError.malformed(kind: header.kind, "it must not come here").description)
        case nil:
            guard header.flags.contains(.optional) else {
                throw .link(LinkError.unknownKind(header.kind).description)
            }
        }
        input.consume(FrameHeader.size)
        bytesToSkip = header.bodyLength
    }

    private func refusal(of header: FrameHeader) -> WatcherError {
        do throws(LinkError) {
            try header.validate(maxBodyLength: maxBodyLength)
            return .link("frame \(header.kind) cannot be right")
        } catch {
            return .link(error.description)
        }
    }

    /// Makes the request of a Call frame at the front of the buffer; nil when more bytes are needed first.
    private mutating func takeCall(_ header: FrameHeader) throws(WatcherError) -> UnsafeMutablePointer<RequestObject>? {
        let headEnd = FrameHeader.size + header.headLength
        let isWhole = input.count >= FrameHeader.size + header.bodyLength
        let isDirect = header.payloadLength >= Self.directReceiveBytes && input.count >= headEnd
        guard isWhole || isDirect else { return nil }
        guard header.headLength >= 8 else {
            throw .link(LinkError.malformed(kind: header.kind, "its head ends early").description)
        }
        let micros = UInt64(littleEndian: (input.start + FrameHeader.size).loadUnaligned(as: UInt64.self))
        let head = UnsafeRawBufferPointer(start: input.start + FrameHeader.size + 8, count: header.headLength - 8)
        try RequestHead(head).check()

        guard let request = RequestType.make(), let bytes = PyBytes_FromStringAndSize(nil, header.payloadLength) else {
            throw .python
        }
        request.pointee.input = bytes
        request.pointee.callID = header.id
        if micros != 0 {
            let nanos = Int64(clamping: micros).multipliedReportingOverflow(by: 1_000)
            let (sum, isOver) = receivedNanos.addingReportingOverflow(nanos.partialValue)
            request.pointee.deadlineNanos = nanos.overflow || isOver ? 0 : sum
        }
        request.keep(head: head)

        let here = min(header.payloadLength, input.count - headEnd)
        let target = UnsafeMutableRawPointer(PyBytes_AsString(bytes))
        if let target, here > 0 { memcpy(target, input.start + headEnd, here) }
        input.consume(headEnd + here)
        if here < header.payloadLength {
            try receiveRest(
                UnsafeMutableRawBufferPointer(start: target.map { $0 + here }, count: header.payloadLength - here))
        }
        return request
    }

    /// Receives the rest of a long payload where it belongs. Answers do not wait for it.
    private mutating func receiveRest(_ target: UnsafeMutableRawBufferPointer) throws(WatcherError) {
        try flush()
        var filled = 0
        while filled < target.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: target[filled...])
            if let count = try socket.receiveNow(into: rest) {
                filled += count
            } else {
                filled += try socket.receive(into: rest)
            }
        }
    }
}
