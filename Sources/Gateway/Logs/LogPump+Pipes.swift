import CLinux
package import Environments
import Glibc
import SystemPackage

extension LogPump {
    /// The end of a new pipe that a process writes to; what it writes goes to the log.
    ///
    /// - Parameters:
    ///   - numbers: gets the pipe's number for `finish`.
    ///   - last: gets the lines, too.
    ///   - onEnd: called when its last line is in the log.
    package func makePipe(
        to log: FunctionLog, replica: Int, stream: LogStream, _ numbers: inout [UInt64], last: LastLines? = nil,
        onEnd: @escaping @Sendable () -> Void = {}
    ) throws(FileError) -> OwnedDescriptor {
        var ends: [CInt] = [-1, -1]
        guard dcf_pipe2(&ends, O_CLOEXEC) == 0 else {
            throw FileError("make", "a pipe for the log", Errno(rawValue: errno))
        }
        let writing = OwnedDescriptor(owning: ends[1])
        numbers.append(
            try add(
                OwnedDescriptor(owning: ends[0]), to: log, replica: replica, stream: stream, last: last, onEnd: onEnd))
        return writing
    }
}
