/// What a replica may use: `limits` in the config. Nil is unlimited.
package struct LimitsConfig: Sendable, Equatable {
    /// Resident bytes of the replica's processes together.
    package var memory: UInt64?
    /// Processors, possibly a fraction.
    package var cpu: Double?
    /// As written; not supported yet.
    package var gpu: String?

    package init() {}
}
