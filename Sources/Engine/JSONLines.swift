/// Takes a stream of JSON texts apart, each on a line of its own.
struct JSONLines {
    private var partial: [UInt8] = []

    /// The lines that are whole after these bytes; empty ones are left out.
    mutating func feed(_ bytes: some Collection<UInt8>) -> [[UInt8]] {
        partial += bytes
        guard partial.contains(0x0A) else { return [] }
        var lines = partial.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
        partial = lines.removeLast()
        return lines.map { $0.last == 0x0D ? $0.dropLast() : $0 }.filter { !$0.isEmpty }
    }

    /// What is left at the end.
    mutating func finish() -> [UInt8]? {
        defer { partial = [] }
        return partial.isEmpty ? nil : partial
    }
}
