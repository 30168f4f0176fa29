/// Splits the output that an engine sends of a container without a terminal. Each frame has a head of 8 bytes (the
/// number of the stream, three zeros, the length in network order), then its bytes. See "Stream format" of
/// ContainerAttach in the Docker Engine API.
struct LogFrames {
    private var head: [UInt8] = []
    private var output = ContainerOutput.standardOutput
    private var left = 0

    /// Adds bytes, and calls `body` with the output that they contain.
    mutating func feed(_ bytes: some Collection<UInt8>, _ body: (ContainerOutput, [UInt8]) -> Void) {
        feed(parts: bytes) { output, part, _ in body(output, part) }
    }

    /// Adds bytes, and calls `body` with the output that they contain. The last value says whether the part ends its
    /// frame.
    mutating func feed(parts bytes: some Collection<UInt8>, _ body: (ContainerOutput, [UInt8], Bool) -> Void) {
        var rest = bytes[...]
        while !rest.isEmpty {
            if left == 0 {
                let taken = rest.prefix(8 - head.count)
                head += taken
                rest = rest.dropFirst(taken.count)
                guard head.count == 8 else { return }
                output = head[0] == 2 ? .standardError : .standardOutput
                left = head[4...].reduce(0) { $0 << 8 | Int($1) }
                head.removeAll(keepingCapacity: true)
                continue
            }
            let taken = rest.prefix(left)
            left -= taken.count
            body(output, Array(taken), left == 0)
            rest = rest.dropFirst(taken.count)
        }
    }
}

/// Joins the frames of a service's log to messages. Empty messages are skipped.
struct LogMessages {
    private var frames = LogFrames()
    private var message: [UInt8] = []

    /// Adds bytes, and calls `take` with each message that is now complete.
    mutating func feed(_ bytes: some Collection<UInt8>, _ take: (ContainerOutput, [UInt8]) -> Void) {
        // With a single owner the array grows in place.
        var message = self.message
        self.message = []
        frames.feed(parts: bytes) { output, part, isLast in
            message += part
            guard isLast else { return }
            take(output, message)
            message.removeAll(keepingCapacity: true)
        }
        self.message = message
    }
}
