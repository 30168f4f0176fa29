import CLinux
import CPython
import Glibc
import WatcherLink

/// Handles the frames that come. All of this runs under the lock, and without the GIL.
extension LinkInbox {
    /// A body of this length or more is received straight into its own memory, not through the input buffer.
    static let directReceiveBytes = 16 << 10

    /// Handles all whole frames in the input buffer; does nothing once the link has failed.
    func handleFrames() {
        do throws(WatcherError) {
            while state.pointee.failure == nil, let header = try nextHeader(), try handle(header) {}
        } catch {
            fail(error)
        }
    }

    /// The header at the front of the input buffer; nil when it has not come whole.
    func nextHeader() throws(WatcherError) -> FrameHeader? {
        if state.pointee.bytesToSkip > 0 {
            let count = min(state.pointee.bytesToSkip, state.pointee.input.count)
            state.pointee.input.consume(count)
            state.pointee.bytesToSkip -= count
        }
        guard state.pointee.partial == nil, state.pointee.input.count >= FrameHeader.size else { return nil }
        let header = FrameHeader(decoding: state.pointee.input.start)
        guard header.headLength <= header.bodyLength,
            header.bodyLength <= WatcherState.maxBodyLength + FrameHeader.headAllowance
        else { throw refusal(of: header) }
        return header
    }

    /// Handles the frame at the front of the input buffer; false when more bytes are needed first.
    func handle(_ header: FrameHeader) throws(WatcherError) -> Bool {
        switch FrameKind(rawValue: header.kind) {
        case .call, .callReply: return try keep(header)
        case .batch, .credit:
            guard state.pointee.input.count >= FrameHeader.size + header.headLength else { return false }
            let start = state.pointee.input.start + FrameHeader.size
            try note(header, head: UnsafeRawBufferPointer(start: start, count: header.headLength))
        case .cancel: cancel(header.id)
        case .recall: giveBack()
        case .drain: drain()
        case .stop: LinkGuard.endGroup()
        case .stacks: kill(getpid(), dcf_stack_signal())
        case nil:
            guard header.flags.contains(.optional) else {
                throw .link(LinkError.unknownKind(header.kind).description)
            }
        default:
            throw .link(LinkError.malformed(kind: header.kind, "it must not come here").description)
        }
        // The rest of such a frame is not needed.
        skip(header)
        return true
    }

    /// Begins a drain: the replica finishes the calls that have come, and then ends.
    func drain() {
        HealthFile.remove()
        state.pointee.isDraining = true
        dcf_atomic_store(&WatcherState.isDraining, 1)
        pthread_cond_broadcast(&state.pointee.work)
        announce()
    }

    /// Drops the frame at the front of the input buffer, and the part of it that has not come yet.
    func skip(_ header: FrameHeader) {
        state.pointee.input.consume(FrameHeader.size)
        state.pointee.bytesToSkip = header.bodyLength
    }

    private func refusal(of header: FrameHeader) -> WatcherError {
        do throws(LinkError) {
            try header.validate(maxBodyLength: WatcherState.maxBodyLength)
            return .link("frame \(header.kind) is not valid")
        } catch {
            return .link(error.description)
        }
    }

    private func note(_ header: FrameHeader, head: UnsafeRawBufferPointer) throws(WatcherError) {
        do throws(LinkError) {
            if header.kind == FrameKind.batch.rawValue {
                let count = Int(try BatchHead(head: head).count)
                guard state.pointee.keepsBatches else { return }
                state.pointee.batchMissing = count
                state.pointee.batches += 1
            } else if let request = state.pointee.running.find(header.id) {
                _ = dcf_atomic_add64(&request.pointee.credit, Int64(try Credit(head: head).bytes))
                state.pointee.hasCredit = true
                announce()
            }
        } catch {
            throw .link(error.description)
        }
    }

    // MARK: - Frames that are kept

    /// Makes a record of a Call or a CallReply, with the part of its body that has come.
    private func keep(_ header: FrameHeader) throws(WatcherError) -> Bool {
        let length = FrameHeader.size + header.bodyLength
        let isWhole = state.pointee.input.count >= length
        guard isWhole || header.bodyLength >= Self.directReceiveBytes else { return false }
        guard let record = CallRecord.make(header) else {
            throw .link("no memory for a frame of \(header.bodyLength) bytes")
        }
        let here = min(header.bodyLength, state.pointee.input.count - FrameHeader.size)
        if here > 0, let target = record.rest.baseAddress {
            memcpy(target, state.pointee.input.start + FrameHeader.size, here)
        }
        record.pointee.filled = here
        state.pointee.input.consume(FrameHeader.size + here)
        if isWhole {
            try finish(record)
        } else {
            state.pointee.partial = record
        }
        return true
    }

    private func finish(_ record: Record) throws(WatcherError) {
        guard record.pointee.kind == FrameKind.call.rawValue else { return deliver(record) }
        guard record.pointee.headLength >= 8 else {
            throw .link(LinkError.malformed(kind: record.pointee.kind, "its head ends early").description)
        }
        try RequestHead(UnsafeRawBufferPointer(rebasing: record.head[8...])).check()
        record.pointee.receivedNanos = state.pointee.receivedNanos
        record.pointee.deadlineNanos = deadline(micros: record.head.loadUnaligned(as: UInt64.self))
        if state.pointee.batchMissing > 0 {
            state.pointee.batchMissing -= 1
            record.pointee.batch = state.pointee.batches
        }
        state.pointee.calls.append(record)
        if state.pointee.idleWorkers > 0 { pthread_cond_signal(&state.pointee.work) }
        announce()
    }

    /// A caller's deadline, from the remaining time in the frame; 0 means none.
    func deadline(micros raw: UInt64) -> Int64 {
        let micros = UInt64(littleEndian: raw)
        guard micros != 0 else { return 0 }
        let nanos = Int64(clamping: micros).multipliedReportingOverflow(by: 1_000)
        let (sum, isOver) = state.pointee.receivedNanos.addingReportingOverflow(nanos.partialValue)
        return nanos.overflow || isOver ? 0 : sum
    }

    private func deliver(_ answer: Record) {
        guard let index = state.pointee.outgoing.firstIndex(where: { $0.id == answer.pointee.id && $0.answer == nil })
        else { return answer.release() }
        state.pointee.outgoing[index].answer = answer
        announce()
    }

    // MARK: - Frames about calls

    /// The gateway is gone: cancels all calls, and fails the link.
    func lose() {
        state.pointee.running.forEach { cancel($0) }
        fail(.ended)
    }

    /// Handles a Cancel: a waiting call does not begin; the request of a running one says that it is cancelled.
    private func cancel(_ id: UInt64) {
        if let request = state.pointee.running.find(id) {
            cancel(request)
            return announce()
        }
        for record in state.pointee.calls.remove(where: { $0.pointee.id == id }) {
            refuse(id, code: .cancelled, "cancelled before the call began")
            record.release()
        }
    }

    private func cancel(_ request: Request) {
        dcf_atomic_store(&request.pointee.isCancelled, 1)
        switch state.pointee.cancelStyle {
        case .flag: break
        case .raiseInMain: Cancellation.raiseInMain()
        case .raiseInThread: state.pointee.hasRaises = true
        }
        state.pointee.hasCancels = true
    }

    /// Answers a Recall: gives back the calls that have not begun.
    private func giveBack() {
        let records = state.pointee.calls.removeAll()
        output.addControl(.returned, id: 0, head: Returned(calls: records.map(\.pointee.id)).head)
        for record in records { record.release() }
    }

    // MARK: - Bytes

    /// The memory for the next bytes. Only the thread with the reader's role may use it.
    func receiveTarget() -> UnsafeMutableRawBufferPointer {
        state.pointee.partial?.rest ?? state.pointee.input.freeSpace()
    }

    /// Notes that so many bytes have come to ``receiveTarget()``.
    func received(_ count: Int) {
        state.pointee.receivedNanos = MonotonicClock.nowNanos()
        guard state.pointee.failure == nil else { return }
        guard let record = state.pointee.partial else { return state.pointee.input.received(count) }
        record.pointee.filled += count
        guard record.rest.isEmpty else { return }
        state.pointee.partial = nil
        do throws(WatcherError) {
            try finish(record)
        } catch {
            fail(error)
        }
    }

    /// Reads the bytes that are there now, without waiting, and handles them. Does nothing while another thread has the
    /// reader's role.
    ///
    /// - Returns: whether there were any bytes.
    func readNow() -> Bool {
        guard !state.pointee.isReading, state.pointee.failure == nil else { return false }
        do throws(WatcherError) {
            guard let count = try socket.receiveNow(into: receiveTarget()) else { return false }
            received(count)
            handleFrames()
            return true
        } catch {
            fail(error)
            return false
        }
    }
}
