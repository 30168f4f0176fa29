/// Why replicas do not get the devices that they need.
package enum GPUShortage: Error, Sendable, Hashable, CustomStringConvertible {
    /// The host has none that can be used.
    ///
    /// - Parameter reason: why not, as those who were asked say.
    case none(reason: String)
    /// The host does not have as many, whoever holds them.
    case tooFew(GPURequest, replicas: Int, devices: Int)
    /// Others hold them.
    ///
    /// - Parameter holders: each device with those that hold it: `0 by ocr@2 replica 1`.
    case held(GPURequest, replicas: Int, free: Int, devices: Int, holders: [String])
    /// Nobody waits for them any more.
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
                + "\(free > 1 ? "are" : "is") free; held are \(holders.joined(separator: ", "))"
        case .cancelled: "limits.gpu: nobody waits for it any more"
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
