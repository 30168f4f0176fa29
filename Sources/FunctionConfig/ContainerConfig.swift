/// What a function that is deployed as an image may do beyond the usual: `container` in the config.
package struct ContainerConfig: Sendable, Equatable {
    /// Who it runs as, `1000:1000` or `root`; nil: whom the image names, but never root.
    package var user: String?
    /// Whether it can write nowhere but in /tmp: `read_only`.
    package var hasReadOnlyRoot = true
    /// Linux capabilities that it keeps.
    package var capabilities: [String] = []
    /// Whether its programs may gain rights, as sudo does: `new_privileges`.
    package var mayGainPrivileges = false
    /// Processes and threads at a time: `pids`.
    package var pidsMax = 1_024
    /// How much /tmp holds, in bytes; it lies in memory. Nil: `limits.memory`, else 1 GiB.
    package var temporaryBytes: UInt64?
    /// A network of the engine, `none` or `host`; nil is the engine's default.
    package var network: String?

    package init() {}
}
