internal import FunctionConfig

/// What each replica of a version needs of the host's GPUs.
package struct GPURequest: Sendable, Hashable {
    /// At least 1.
    package var count: Int
    /// Whether other replicas that share may use the same devices.
    package var isShared: Bool

    package init(count: Int, isShared: Bool = false) {
        self.count = count
        self.isShared = isShared
    }
}

extension GPURequest {
    /// Nil when the config asks for no GPU.
    init?(_ limits: LimitsConfig) {
        guard limits.gpu > 0 else { return nil }
        self.init(count: limits.gpu, isShared: limits.gpuShared)
    }
}

/// Why replicas do not get the devices that they need.
package enum GPUShortage: Error, Sendable, Hashable, CustomStringConvertible {
    /// The host has no GPU that the gateway can use.
    ///
    /// - Parameter reason: why not, in the words of NVML and nvidia-smi.
    case none(reason: String)
    /// The host does not have enough devices, even when none of them is held.
    case tooFew(GPURequest, replicas: Int, devices: Int)
    /// Other replicas hold the devices.
    ///
    /// - Parameter holders: each held device with its holders: `0 by ocr@2 replica 1`.
    case held(GPURequest, replicas: Int, free: Int, devices: Int, holders: [String])
    /// The task that waited was cancelled.
    case cancelled

    /// Whether waiting does not help.
    package var isPermanent: Bool {
        switch self {
        case .none, .tooFew: true
        case .held, .cancelled: false
        }
    }

    package var description: String {
        switch self {
        case .none(let reason): "limits.gpu: this host has no GPU that can be used: \(reason)"
        case .tooFew(let request, let replicas, let devices):
            "\(Self.need(request, replicas)), and \(Self.all(devices))"
        case .held(let request, let replicas, let free, let devices, let holders):
            "\(Self.need(request, replicas)), \(Self.all(devices)), and \(free == 0 ? "none" : "\(free)") of them "
                + "\(free > 1 ? "are" : "is") free; held: \(holders.joined(separator: ", "))"
        case .cancelled: "limits.gpu: the wait for GPUs was cancelled"
        }
    }

    private static func need(_ request: GPURequest, _ replicas: Int) -> String {
        let count = request.isShared ? request.count : request.count * replicas
        let each = replicas == 1 || request.isShared ? "" : " for each of \(replicas) replicas"
        return "limits.gpu: \(request.count)\(each) needs \(count) GPU\(count == 1 ? "" : "s")"
    }

    private static func all(_ devices: Int) -> String {
        "the gateway may use \(devices == 0 ? "none" : "\(devices)") for that"
    }
}
