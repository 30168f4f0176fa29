/// How calls are put together into one: `batch` in the config; not supported yet.
package struct BatchConfig: Sendable, Equatable {
    /// Calls in one batch.
    package var sizeMax: Int
    /// How long the first call of a batch waits for others.
    package var waitMax: Duration = .milliseconds(5)
    /// Whether the members of a batch that raised are run once more, alone.
    package var retry = true

    package init(sizeMax: Int) {
        self.sizeMax = sizeMax
    }
}
