import Glibc
import Platform

/// One pipe of a replica and the log that its lines go to. Only the pump's thread uses it.
final class LogSource: @unchecked Sendable {
    // @unchecked: `lines` belongs to the pump's thread.
    enum Reading {
        case more
        case ended
    }

    /// The most reads in one turn, so that a replica with much output does not keep the pump from the others.
    private static let readsMax = 16
    /// The most reads from a pipe of a replica that is gone: more than a pipe can hold.
    private static let drainReadsMax = 64

    let descriptor: CInt
    private let pipe: OwnedDescriptor
    let log: FunctionLog
    private let replica: Int
    private let stream: LogStream
    /// Also gets each line.
    private let last: LastLines?
    private let onEnd: @Sendable () -> Void
    private var lines: LogLineReader

    init(
        pipe: consuming OwnedDescriptor, log: FunctionLog, replica: Int, stream: LogStream, last: LastLines?,
        onEnd: @escaping @Sendable () -> Void
    ) {
        descriptor = pipe.rawValue
        self.pipe = pipe
        self.log = log
        self.replica = replica
        self.stream = stream
        self.last = last
        self.onEnd = onEnd
        lines = LogLineReader(lineBytes: FunctionLogLimits().lineBytes)
    }

    /// Reads what is in the pipe, up to the limit of one turn.
    func read(_ buffer: inout [UInt8], atMost reads: Int = LogSource.readsMax) -> Reading {
        for _ in 0..<reads {
            let count = buffer.withUnsafeMutableBytes { raw in
                retrying { Glibc.read(descriptor, raw.baseAddress, raw.count) }
            }
            if count < 0 { return errno == EAGAIN ? .more : .ended }
            if count == 0 { return .ended }
            buffer.withUnsafeBytes { raw in
                lines.add(UnsafeRawBufferPointer(rebasing: raw[..<count]), each: append)
            }
            if count < buffer.count { return .more }
        }
        return .more
    }

    /// Reads what is in the pipe now, and ends even when a process goes on writing to it.
    func drain(_ buffer: inout [UInt8]) {
        _ = read(&buffer, atMost: Self.drainReadsMax)
    }

    /// Adds the last line, which may have no line end, and reports the end of the pipe.
    func end() {
        lines.finish(each: append)
        assertNoLockIsHeld()
        onEnd()
    }

    private func append(_ line: LogLineReader.Line) {
        last?.add(line.text)
        log.append(line.text, replica: replica, stream: stream, requestID: line.requestID, fullBytes: line.fullBytes)
    }
}
