/// Puts the frames of a service's log together again: one message each.
struct LogMessages {
    private var head: [UInt8] = []
    private var body: [UInt8] = []

    /// Calls `take` with each message that is whole after these bytes.
    mutating func feed(_ bytes: some Collection<UInt8>, _ take: (ContainerOutput, [UInt8]) -> Void) {
        var rest = bytes[...]
        while !rest.isEmpty {
            if head.count < 8 {
                let taken = rest.prefix(8 - head.count)
                head += taken
                rest = rest.dropFirst(taken.count)
                continue
            }
            let length = head[4...].reduce(0) { $0 << 8 | Int($1) }
            let taken = rest.prefix(length - body.count)
            body += taken
            rest = rest.dropFirst(taken.count)
            guard body.count == length else { return }
            take(head[0] == 2 ? .standardError : .standardOutput, body)
            head.removeAll(keepingCapacity: true)
            body.removeAll(keepingCapacity: true)
        }
    }
}
