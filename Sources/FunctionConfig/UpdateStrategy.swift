/// How a new version takes over from the old: `strategy` in the config.
package enum UpdateStrategy: String, Sendable, CaseIterable {
    /// The new one starts beside the old, and takes over when it is Ready.
    case rolling
    /// The old one is stopped first, for models that do not fit twice; calls wait meanwhile.
    case replace
}
