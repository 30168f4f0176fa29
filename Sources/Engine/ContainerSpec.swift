/// What a container is made with. What is not said is Docker's default.
package struct ContainerSpec: Sendable, Equatable {
    /// A file or folder of the host that the container sees.
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

    /// Which GPUs of the host it gets.
    package enum GPUs: Sendable, Equatable {
        case count(Int)
        /// By UUID.
        case devices([String])
    }

    /// A name, a digest or an id.
    package var image: String
    /// Nil has the engine think of one.
    package var name: String?
    package var environment: [String: String] = [:]
    package var labels: [String: String] = [:]
    package var mounts: [Mount] = []
    /// Paths in memory, each with the options of a tmpfs.
    package var temporary: [String: String] = [:]
    /// What each of them holds, in bytes, for those who do not read the options.
    package var temporaryBytes: UInt64?
    package var user: String?
    /// The Linux capabilities that it has; nil is what Docker gives.
    package var capabilities: [String]?
    /// Whether its programs may gain rights, as sudo does.
    package var mayGainPrivileges = true
    package var hasReadOnlyRoot = false
    /// Processes and threads at a time.
    package var processesMax: Int?
    /// In bytes; no more than this, swap included.
    package var memory: UInt64?
    package var cpus: Double?
    package var gpus: GPUs?
    /// Nil is the engine's own.
    package var network: String?
    /// Whether something is written to its standard input; see ``Engine/attach(_:input:onAttached:_:)``.
    package var takesInput = false
    /// Whether the engine keeps what it writes, for `docker logs`.
    package var keepsLogs = true
    /// Whether the engine removes it when it has ended.
    package var isRemovedAtEnd = false

    package init(image: String) {
        self.image = image
    }
}
