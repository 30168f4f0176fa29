/// Puts the frames of a service's log together again: one message each. An empty one is none.
struct LogMessages {
    private var frames = LogFrames()
    private var message: [UInt8] = []

    /// Calls `take` with each message that is whole after these bytes.
    mutating func feed(_ bytes: some Collection<UInt8>, _ take: (ContainerOutput, [UInt8]) -> Void) {
        // Nobody else has it meanwhile, so that it grows where it is.
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
