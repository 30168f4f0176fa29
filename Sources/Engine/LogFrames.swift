/// Takes apart what an engine sends of a container that has no terminal: frames of 8 bytes of head (the stream's number, three
/// zeros, the length in network order) and then bytes. Docker Engine API, "Stream format" of ContainerAttach.
struct LogFrames {
    private var head: [UInt8] = []
    private var output = ContainerOutput.standardOutput
    private var left = 0

    /// Calls `body` with what can be told after these bytes.
    mutating func feed(_ bytes: some Collection<UInt8>, _ body: (ContainerOutput, [UInt8]) -> Void) {
        feed(parts: bytes) { output, part, _ in body(output, part) }
    }

    /// The same; the last value tells whether the part ends its frame.
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
