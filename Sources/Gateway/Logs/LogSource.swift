import Environments
import Glibc
import Locks

/// One pipe of a replica and the log it goes to. Used by the pump's thread alone.
final class LogSource: @unchecked Sendable {
    // @unchecked: `lines` belongs to the pump's thread.
    enum Reading {
        case more
        case ended
    }

    /// Reads at one turn, so that a loud replica does not keep the pump from the others.
    private static let readsMax = 16
    /// The most that is read from a pipe whose replica is gone: more than a pipe can hold.
    private static let drainReadsMax = 64

    let descriptor: CInt
    private let pipe: OwnedDescriptor
    let log: FunctionLog
    private let replica: Int
    private let stream: LogStream
    /// Gets each line, too.
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

    /// Reads what is there, up to a turn's share.
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

    /// Reads what is there and no more, however fast it is written.
    func drain(_ buffer: inout [UInt8]) {
        _ = read(&buffer, atMost: Self.drainReadsMax)
    }

    /// The last line may have no end.
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
