import CLinux
import CPython
import Glibc
import WatcherLink

/// Reads calls from the link, calls the handler for one after another, and writes the answers.
///
/// It runs on the interpreter's main thread. While calls come fast, it serves them straight from the input buffer.
/// After a long call it reads all that has come meanwhile before it begins the next one, so that cancelled and expired
/// calls never start.
struct CallLoop: ~Copyable {
    /// After a call longer than this, it reads what has come: callers of waiting calls may have left.
    private static let longCallNanos: Int64 = 1_000_000
    /// If one read gives more bytes than this, there are many callers, or a long payload.
    private static let streamBytes = 1_024

    /// An input up to this length is kept until the next call has begun.
    private static let keptBytes = 1 << 20

    private let serving: Serving
    private let inbox: LinkInbox
    private var runner: CallRunner
    /// Whether the last wait gave so many bytes that more are likely to be there already.
    private var isStreaming = true
    /// Where to receive, while this thread has the reader's role.
    private var target: UnsafeMutableRawBufferPointer?
    /// How many bytes were received there and are not noted in the inbox yet. They are noted with the next call, so
    /// that a single call takes the lock twice, and one of many calls once.
    private var receivedBytes = 0
    private var isDrained = false
    private var pace = HandlerPace()

    init(serving: Serving, handler: PythonObject) {
        self.serving = serving
        inbox = serving.inbox
        runner = CallRunner(serving: serving, handler: handler, slot: WatcherState.slots, isMain: true)
    }

    /// Serves calls until a drain is done. If the link breaks, finished answers are written first.
    ///
    /// - Parameter inBatches: whether the handler gets lists of requests.
    mutating func run(inBatches: Bool) throws(WatcherError) {
        // Otherwise each call that the gateway writes would interrupt the gateway for the call's handler, if both have
        // one processor, before the gateway has written the calls that it has read as well.
        dcf_sched_batch()
        do throws(WatcherError) {
            if inBatches {
                inbox.withLock { inbox.state.pointee.keepsBatches = true }
                try serveBatches()
            } else {
                try serve()
            }
        } catch {
            try? runner.flush()
            giveUp()
            throw error
        }
    }

    /// Stops reading for good, and wakes all threads that wait for something from the link.
    private mutating func giveUp() {
        inbox.lock()
        defer { inbox.unlock() }
        if target != nil {
            target = nil
            inbox.endReading()
        }
        inbox.fail(.ended)
    }

    private mutating func serve() throws(WatcherError) {
        var last: UnsafeMutablePointer<RequestObject>?
        // If the gateway's end cut off a call, its request is released.
        defer { if let last { inbox.release(last) } }
        while true {
            while let request = try next(after: last) {
                if let last { Py_DecRef(last.object) }
                last = request
                serving.activity.begin(at: runner.nowNanos)
                let began = runner.nowNanos
                try runner.run(request)
                serving.activity.end()
                if !request.pointee.wantsPieces, let nanoseconds = pace.note(runner.nowNanos - began) {
                    serving.output.addControl(
                        .pace, flags: .optional, id: 0, head: Pace(nanoseconds: nanoseconds).head)
                }
                try afterCall(lasting: runner.nowNanos - began)
                if let input = request.pointee.input, PyBytes_Size(input) > Self.keptBytes {
                    // Two long inputs are never in memory at once.
                    inbox.release(request)
                    last = nil
                }
            }
            if let last { Py_DecRef(last.object) }
            last = nil
            try runner.flush()
            if isDrained { return }
            try waitForBytes()
        }
    }

    private mutating func serveBatches() throws(WatcherError) {
        while true {
            while true {
                let requests = try nextBatch()
                if requests.isEmpty { break }
                try answer(requests)
            }
            try runner.flush()
            if isDrained { return }
            try waitForBytes()
        }
    }

    private mutating func answer(_ requests: [UnsafeMutablePointer<RequestObject>]) throws(WatcherError) {
        guard let list = PyList_New(requests.count) else { throw .python }
        for (index, request) in requests.enumerated() {
            // The list takes over the reference that the request came with. The second reference is for the running
            // calls.
            PyList_SetItem(list, index, request.object)
            Py_IncRef(request.object)
        }
        serving.activity.begin(at: runner.nowNanos)
        let began = runner.nowNanos
        try runner.run(batch: list, first: requests.count == 1 ? requests.first : nil)
        serving.activity.end()
        Py_DecRef(list)
        inbox.withLock { for request in requests { inbox.finish(request) } }
        for request in requests { Py_DecRef(request.object) }
        runner.noteWaiting(1)
        try afterCall(lasting: runner.nowNanos - began)
    }

    /// After a long call, writes the answers and reads what has come meanwhile.
    private mutating func afterCall(lasting nanos: Int64) throws(WatcherError) {
        if nanos > Self.longCallNanos {
            try runner.flush()
            inbox.withLock { while inbox.readNow() {} }
        } else if runner.isFlushDue {
            try runner.flush()
        }
    }

    // MARK: - Reading

    /// The next call, which now runs instead of the last one; nil when more bytes are needed. Then this thread has the
    /// reader's role, unless another thread has it or the drain is done.
    private mutating func next(
        after last: UnsafeMutablePointer<RequestObject>?
    ) throws(WatcherError) -> UnsafeMutablePointer<RequestObject>? {
        inbox.lock()
        defer { inbox.unlock() }
        noteReceived()
        if let last { inbox.finish(last) }
        if let request = try inbox.takeRequest(at: runner.nowNanos) { return request }
        if let failure = inbox.state.pointee.failure { throw failure }
        if inbox.state.pointee.isReading { return noteNothing() }
        while let header = try inbox.nextHeader() {
            if header.kind == FrameKind.call.rawValue {
                if refuseExpired(header) { continue }
                guard let request = try takeCall(header) else { return noteNothing() }
                inbox.state.pointee.running.insert(request)
                if inbox.state.pointee.waiters > 0 {
                    // Another thread waits for a frame that may be behind this call.
                    inbox.handleFrames()
                    inbox.announce()
                }
                return request
            }
            guard try inbox.handle(header) else { break }
        }
        return noteNothing()
    }

    private mutating func nextBatch() throws(WatcherError) -> [UnsafeMutablePointer<RequestObject>] {
        inbox.lock()
        defer { inbox.unlock() }
        noteReceived()
        if !inbox.state.pointee.isReading { inbox.handleFrames() }
        let requests = try inbox.takeBatch(at: runner.nowNanos)
        if requests.isEmpty {
            if let failure = inbox.state.pointee.failure { throw failure }
            _ = noteNothing()
        }
        return requests
    }

    /// Gives the reader's role back, and notes the received bytes in the inbox. Under the lock.
    private mutating func noteReceived() {
        guard target != nil else { return }
        target = nil
        inbox.endReading()
        if receivedBytes == 0 { return }
        inbox.received(receivedBytes)
        receivedBytes = 0
        runner.nowNanos = inbox.state.pointee.receivedNanos
    }

    /// Called when there is no call: takes the reader's role if it is free and the drain is not done. Under the lock.
    private mutating func noteNothing() -> UnsafeMutablePointer<RequestObject>? {
        isDrained = inbox.state.pointee.isDraining && inbox.state.pointee.calls.count == 0
        if !isDrained && !inbox.state.pointee.isReading { target = inbox.beginReading() }
        return nil
    }

    /// Waits for bytes. While calls stream in, it first tries without waiting, which does not release the GIL. With few
    /// bytes at a time, as with one caller, that would find nothing.
    private mutating func waitForBytes() throws(WatcherError) {
        guard let target else { return try waitForReader() }
        if isStreaming, let count = try serving.socket.receiveNow(into: target) {
            receivedBytes = count
        } else {
            if WatcherState.hasPartialLine {
                WatcherState.hasPartialLine = false
                serving.runtime.flushPartialLines()
            }
            receivedBytes = try serving.socket.receive(into: target, isBetweenCalls: true)
        }
        isStreaming = receivedBytes > Self.streamBytes
    }

    /// Waits while another thread reads the link: a thread of the handler that waits for another function's answer.
    private mutating func waitForReader() throws(WatcherError) {
        _ = try inbox.wait(isMain: true) {
            inbox.isReady || inbox.state.pointee.isDraining || !inbox.state.pointee.isReading
        }
        runner.nowNanos = MonotonicClock.nowNanos()
    }

    /// Makes the request of a Call frame at the front of the buffer; nil when more bytes are needed first. Under the
    /// lock; it gives up the lock while it receives the rest of a long payload, straight into the request.
    private mutating func takeCall(_ header: FrameHeader) throws(WatcherError) -> UnsafeMutablePointer<RequestObject>? {
        let input = inbox.state.pointee.input.start
        let count = inbox.state.pointee.input.count
        let headEnd = FrameHeader.size + header.headLength
        let isWhole = count >= FrameHeader.size + header.bodyLength
        let isDirect = header.payloadLength >= LinkInbox.directReceiveBytes && count >= headEnd
        guard isWhole || isDirect else { return nil }
        guard header.headLength >= 8 else {
            throw .link(LinkError.malformed(kind: header.kind, "its head ends early").description)
        }
        let head = UnsafeRawBufferPointer(start: input + FrameHeader.size + 8, count: header.headLength - 8)
        try RequestHead(head).check()

        guard let request = RequestType.make(), let bytes = PyBytes_FromStringAndSize(nil, header.payloadLength) else {
            throw .python
        }
        request.pointee.input = bytes
        request.pointee.callID = header.id
        request.pointee.deadlineNanos = inbox.deadline(
            micros: (input + FrameHeader.size).loadUnaligned(as: UInt64.self))
        request.pointee.wantsPieces = header.flags.contains(.stream)
        request.pointee.credit = Int64(Credit.initialBytes)
        request.keep(head: head)

        let here = min(header.payloadLength, count - headEnd)
        let target = UnsafeMutableRawPointer(PyBytes_AsString(bytes))
        if let target, here > 0 { memcpy(target, input + headEnd, here) }
        inbox.state.pointee.input.consume(headEnd + here)
        if here < header.payloadLength {
            do throws(WatcherError) {
                try receiveRest(
                    UnsafeMutableRawBufferPointer(start: target.map { $0 + here }, count: header.payloadLength - here))
            } catch {
                Py_DecRef(request.object)
                throw error
            }
        }
        return request
    }

    /// Refuses and skips a Call at the front of the buffer if its deadline has passed.
    private func refuseExpired(_ header: FrameHeader) -> Bool {
        guard header.headLength >= 8, inbox.state.pointee.input.count >= FrameHeader.size + 8 else { return false }
        let head = inbox.state.pointee.input.start + FrameHeader.size
        let deadline = inbox.deadline(micros: head.loadUnaligned(as: UInt64.self))
        guard deadline != 0 && deadline <= runner.nowNanos else { return false }
        inbox.refuseExpired(header.id)
        inbox.skip(header)
        return true
    }

    /// Receives the rest of a long payload. Finished answers are written first.
    private mutating func receiveRest(_ target: UnsafeMutableRawBufferPointer) throws(WatcherError) {
        inbox.state.pointee.isReading = true
        inbox.unlock()
        defer {
            inbox.lock()
            inbox.endReading()
        }
        try runner.flush()
        var filled = 0
        while filled < target.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: target[filled...])
            if let count = try serving.socket.receiveNow(into: rest) {
                filled += count
            } else {
                filled += try serving.socket.receive(into: rest)
            }
        }
    }
}
