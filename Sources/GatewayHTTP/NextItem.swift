/// An asynchronous sequence that one task after another reads, an item at a time.
final class NextItem<Iterator: AsyncIteratorProtocol>: @unchecked Sendable {
    // @unchecked: its readers take turns.
    private var iterator: Iterator

    init(_ iterator: Iterator) {
        self.iterator = iterator
    }

    func callAsFunction() async throws -> Iterator.Element? {
        try await iterator.next()
    }
}
