/// One reader of a log as it grows. What does not fit into its buffer is counted, and told before the next that does.
struct LogFollower: Sendable {
    let continuation: AsyncStream<String>.Continuation
    private var lost = 0

    init(continuation: AsyncStream<String>.Continuation) {
        self.continuation = continuation
    }

    mutating func send(_ text: String) {
        if lost > 0 {
            guard case .enqueued = continuation.yield("\(lost) lines lost: they came faster than they were read\n")
            else {
                lost += 1
                return
            }
            lost = 0
        }
        if case .dropped = continuation.yield(text) { lost += 1 }
    }
}
