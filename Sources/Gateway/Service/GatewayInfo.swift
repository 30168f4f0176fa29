internal import FunctionConfig
internal import GRPC

/// What the gateway says of itself.
struct GatewayInfo: Sendable {
    var dataFolder: String
    /// What functions are whose config does not say.
    var deploy: DeployKind
    var gpus: GPULeases
    var started = MonotonicTime.now

    func text(functions: Int) -> String {
        let seconds = MonotonicTime.now.nanoseconds(since: started) / 1_000_000_000
        return """
            dcf-gateway \(Release.version)
            functions: \(functions)
            up: \(seconds) s
            data: \(dataFolder)
            deploy: \(deploy.rawValue)\(devices)
            """
    }

    /// A line a device, where it is known which there are.
    private var devices: String {
        gpus.holders.map { device, holders in
            let memory = device.memory > 0 ? ", \(ByteSize.text(device.memory))" : ""
            let names = holders.isEmpty ? "free" : holders.map(\.description).joined(separator: ", ")
            return "\ngpu \(device.number): \(names) (\(device.name)\(memory), \(device.uuid))"
        }.joined()
    }
}
