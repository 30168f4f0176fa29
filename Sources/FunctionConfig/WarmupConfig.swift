/// The input of the call that warms a new replica up: `warmup` in the config.
package enum WarmupConfig: Sendable, Equatable {
    /// The text itself.
    case input(String)
    /// A file of the function's folder, by its path in it.
    case file(String)
}
