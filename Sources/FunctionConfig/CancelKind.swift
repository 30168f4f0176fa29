/// What a running handler notices of a cancelled call: `cancel` in the config.
package enum CancelKind: String, Sendable, CaseIterable {
    /// `req.cancelled` becomes true.
    case flag
    /// `dcf.Cancelled` is raised in its thread, too.
    case raise
}
