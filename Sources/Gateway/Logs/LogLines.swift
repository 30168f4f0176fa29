/// The lines of a log from some moment on, for one reader, who leaves by cancelling its task or by letting go of them.
package final class LogLines: AsyncSequence, Sendable {
    private let log: FunctionLog
    private let number: Int

    /// - Parameter number: the log's for its follower.
    init(of log: FunctionLog, number: Int) {
        self.log = log
        self.number = number
    }

    deinit { log.leave(number) }

    package func makeAsyncIterator() -> Iterator { Iterator(lines: self) }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let lines: LogLines

        package mutating func next() async -> String? { await lines.log.next(lines.number) }
    }
}
