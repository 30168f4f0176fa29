/// What an engine needs to create a container. Everything left out has Docker's default.
package struct ContainerSpec: Sendable, Equatable {
    /// A file or folder of the engine's machine that the container sees.
    package struct Mount: Sendable, Equatable {
        package var source: String
        package var target: String
        package var isReadOnly: Bool

        package init(source: String, target: String, isReadOnly: Bool) {
            self.source = source
            self.target = target
            self.isReadOnly = isReadOnly
        }
    }

    /// Which GPUs of the engine's machine the container gets.
    package enum GPUs: Sendable, Equatable {
        case count(Int)
        /// By UUID.
        case devices([String])
    }

    /// The image's name, digest or id.
    package var image: String
    /// Nil lets the engine choose a name.
    package var name: String?
    package var environment: [String: String] = [:]
    package var labels: [String: String] = [:]
    package var mounts: [Mount] = []
    /// Folders in memory: the path of each, and the options of its tmpfs.
    package var temporary: [String: String] = [:]
    /// The size of each such folder in bytes. Services use this instead of the options.
    package var temporaryBytes: UInt64?
    package var user: String?
    /// The Linux capabilities of the container. Nil gives Docker's default set.
    package var capabilities: [String]?
    /// Whether programs may gain rights, as with sudo.
    package var mayGainPrivileges = true
    package var hasReadOnlyRoot = false
    /// The most processes and threads at a time.
    package var processesMax: Int?
    /// The memory limit in bytes, swap included.
    package var memory: UInt64?
    package var cpus: Double?
    package var gpus: GPUs?
    /// Nil selects the engine's default network.
    package var network: String?
    /// Whether the container has a standard input. See ``Engine/attach(_:input:onAttached:_:)``.
    package var takesInput = false
    /// Whether the engine keeps the output for `docker logs`.
    package var keepsLogs = true
    /// Whether the engine removes the container when it has ended.
    package var isRemovedAtEnd = false

    package init(image: String) {
        self.image = image
    }
}
