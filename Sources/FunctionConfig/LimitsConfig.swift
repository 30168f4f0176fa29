/// What a replica may use: `limits` in the config. Nil is unlimited.
package struct LimitsConfig: Sendable, Equatable {
    /// Resident bytes of the replica's processes together.
    package var memory: UInt64?
    /// Processors, possibly a fraction.
    package var cpu: Double?
    /// Devices of the host that a replica has; 0 is none.
    package var gpu = 0
    /// Whether a replica may share its devices with other replicas that may, too.
    package var gpuShared = false

    package init() {}

    /// As many whole processors as `cpu` needs: what libraries are told to use.
    package var wholeCPUs: Int? { cpu.map { max(Int($0.rounded(.up)), 1) } }
}
