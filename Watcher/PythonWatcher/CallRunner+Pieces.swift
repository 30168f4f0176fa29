import CLinux
import CPython
import Glibc
import WatcherLink

/// Replies of handlers that yield.
extension CallRunner {
    /// Sends each piece as the handler makes it, as long as there is credit.
    ///
    /// Pieces that come fast are written together. A caller that reads slowly pauses the iterator: without credit the
    /// thread waits, and reads the link meanwhile.
    ///
    /// - Parameter pieces: an iterator, borrowed. It is closed if the gateway goes away before its end.
    mutating func stream(
        _ pieces: PythonObject, to request: UnsafeMutablePointer<RequestObject>
    ) throws(WatcherError) {
        let failure: ErrorHead?
        do throws(WatcherError) {
            failure = try send(pieces, to: request)
        } catch .ended {
            serving.runtime.close(pieces)
            throw .ended
        }
        if let failure { return try stop(pieces, request, failure) }
        if PyErr_Occurred() != nil { return try reportException(request) }
        noteWaiting(try serving.end(request, at: nowNanos))
    }

    /// - Returns: why the iterator must be stopped; nil when it has ended, or raised.
    private mutating func send(
        _ pieces: PythonObject, to request: UnsafeMutablePointer<RequestObject>
    ) throws(WatcherError) -> ErrorHead? {
        var number = 0
        var flushedNanos: Int64 = 0
        while true {
            if request.isCancelled { return .cancelled }
            guard let piece = next(of: pieces) else { return nil }
            defer { Py_DecRef(piece) }
            number += 1
            guard try awaitCredit(request) else { return .cancelled }
            var failure: ErrorHead?
            let isSent = try serving.withBytes(of: piece) { (bytes, isText) throws(WatcherError) in
                if bytes.count > WatcherState.maxBodyLength {
                    failure = .tooLong(bytes.count)
                } else {
                    try add(bytes, isText: isText, to: request)
                }
            }
            if !isSent {
                failure = .badReply(serving.runtime.describePiece(piece, number))
            }
            if let failure { return failure }
            nowNanos = MonotonicClock.nowNanos()
            if waitingBytes > OutputBuffer.highWater || nowNanos - flushedNanos > Self.flushNanos {
                try flush()
                flushedNanos = nowNanos
                if credit(of: request) < Int64(Credit.initialBytes / 2) { readAhead() }
            } else {
                serving.activity.wakeGuard()
            }
        }
    }

    /// Joins all pieces to one reply, for a caller that takes no pieces.
    mutating func join(
        _ pieces: PythonObject, for request: UnsafeMutablePointer<RequestObject>
    ) throws(WatcherError) {
        var joined: [UInt8] = []
        var isText = true
        var number = 0
        while let piece = next(of: pieces) {
            defer { Py_DecRef(piece) }
            number += 1
            if request.isCancelled { return try stop(pieces, request, .cancelled) }
            var count = joined.count
            let isTaken = try serving.withBytes(of: piece) { (bytes, isTextPiece) throws(WatcherError) in
                isText = isText && isTextPiece
                count += bytes.count
                if count <= WatcherState.maxBodyLength { joined.append(contentsOf: bytes) }
            }
            if !isTaken {
                let message = serving.runtime.describePiece(piece, number)
                return try stop(pieces, request, .badReply(message))
            }
            if count > WatcherState.maxBodyLength { return try stop(pieces, request, .tooLong(count)) }
        }
        if PyErr_Occurred() != nil { return try reportException(request) }
        nowNanos = MonotonicClock.nowNanos()
        let waiting = try joined.withMemory { (bytes) throws(WatcherError) in
            try serving.send(bytes, isText: isText && number > 0, to: request, at: nowNanos)
        }
        noteWaiting(waiting)
    }

    /// The next piece, a new reference; nil at the end, or with an exception set.
    private func next(of pieces: PythonObject) -> PythonObject? {
        slot.pointee.isInHandler = true
        let piece = PyIter_Next(pieces)
        slot.pointee.leave()
        if WatcherState.isForkedChild {
            serving.runtime.endForkedChild(failed: piece == nil && PyErr_Occurred() != nil)
        }
        return piece
    }

    private mutating func add(
        _ bytes: UnsafeRawBufferPointer, isText: Bool, to request: UnsafeMutablePointer<RequestObject>
    ) throws(WatcherError) {
        let header = FrameHeader(
            kind: .piece, flags: isText ? .text : .none, id: request.pointee.callID, headLength: 0,
            payloadLength: bytes.count)
        _ = dcf_atomic_add64(&request.pointee.credit, -Int64(bytes.count))
        noteWaiting(
            try serving.output.addFrame(
                header, head: UnsafeRawBufferPointer(start: nil, count: 0), payload: bytes, at: nowNanos,
                to: serving.socket))
    }

    private func credit(of request: UnsafeMutablePointer<RequestObject>) -> Int64 {
        dcf_atomic_load64(&request.pointee.credit)
    }

    /// Waits until a piece may be sent; false when the call is cancelled.
    private mutating func awaitCredit(_ request: UnsafeMutablePointer<RequestObject>) throws(WatcherError) -> Bool {
        if credit(of: request) > 0 { return true }
        readAhead()
        if credit(of: request) <= 0 {
            try flush()
            _ = try serving.inbox.wait(isMain: slot.pointee.isMain) {
                dcf_atomic_load64(&request.pointee.credit) > 0 || request.isCancelled
            }
            // The guard may be asleep because this thread read the link meanwhile.
            serving.activity.wakeGuard()
        }
        return !request.isCancelled
    }

    private func readAhead() {
        serving.inbox.withLock { _ = serving.inbox.readNow() }
    }

    /// Closes an iterator before its end, and ends the call with an error.
    private mutating func stop(
        _ pieces: PythonObject, _ request: UnsafeMutablePointer<RequestObject>, _ error: ErrorHead
    ) throws(WatcherError) {
        serving.runtime.close(pieces)
        try fail(request, error)
    }
}
