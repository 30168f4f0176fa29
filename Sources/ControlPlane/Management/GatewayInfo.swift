internal import FunctionConfig
internal import Platform

/// What the gateway tells about itself.
struct GatewayInfo: Sendable {
    var dataFolder: String
    /// How functions run if neither the deploy nor the config says it.
    var kind: DeployKind
    var gpus: GPULeases
    var started = MonotonicTime.now

    func text(functions: Int) -> String {
        let seconds = MonotonicTime.now.nanoseconds(since: started) / 1_000_000_000
        return """
            dcf-gateway \(Release.version)
            functions: \(functions)
            up: \(seconds) s
            data: \(dataFolder)
            deploy: \(kind.rawValue)\(devices)
            """
    }

    /// One line for each device, once the devices are known.
    private var devices: String {
        gpus.holders.map { device, holders in
            let memory = device.memory > 0 ? ", \(ByteSize.text(device.memory))" : ""
            let names = holders.isEmpty ? "free" : holders.map(\.description).joined(separator: ", ")
            return "\ngpu \(device.number): \(names) (\(device.name)\(memory), \(device.uuid))"
        }.joined()
    }
}
