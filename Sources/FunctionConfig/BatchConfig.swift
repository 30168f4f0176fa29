/// How calls are put together into one: `batch` in the config.
package struct BatchConfig: Sendable, Equatable {
    /// Calls in one batch.
    package var sizeMax: Int
    /// How long the oldest call may wait for others once a replica is free; 0: not at all.
    package var waitMax: Duration = .zero
    /// Whether the members of a batch that raised are run once more, alone.
    package var retry = true

    package init(sizeMax: Int) {
        self.sizeMax = sizeMax
    }
}
