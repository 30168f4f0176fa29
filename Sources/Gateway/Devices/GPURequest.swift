internal import FunctionConfig

/// What each replica of a version needs of the host's GPUs.
package struct GPURequest: Sendable, Hashable {
    /// At least 1.
    package var count: Int
    /// Whether others that may share can have the same devices.
    package var isShared: Bool

    package init(count: Int, isShared: Bool = false) {
        self.count = count
        self.isShared = isShared
    }
}

extension GPURequest {
    /// Nil where a config asks for none.
    init?(_ limits: LimitsConfig) {
        guard limits.gpu > 0 else { return nil }
        self.init(count: limits.gpu, isShared: limits.gpuShared)
    }
}
