import FunctionConfig
import GatewayProtocol

/// The output of `dcf function info`: one fact on each line, then the replicas, then the function's config.
struct FunctionSheet {
    private(set) var text = ""

    init(_ function: Pb_Function) {
        add("Name", function.name)
        add("Status", function.status)
        add("Reason", function.reason)
        if function.version > 0 { add("Version", String(function.version)) }
        add("Description", function.description_p)
        add("Maintainer", function.maintainer)
        add("Image", function.image)
        add("Python", function.python)
        add("Invocations", String(function.invocationCount))
        add("Replicas", "\(function.availableReplicas) of \(function.replicas) available")
        if function.minReplicas != function.maxReplicas {
            add("Range", "\(function.minReplicas) to \(function.maxReplicas) replicas, by the load")
        }
        add("GPU", function.gpus.map { Self.line(of: $0) }.joined(separator: "\n"))
        if function.traffic.count > 1 { add("Traffic", FunctionTraffic.text(of: function.traffic)) }
        add("Labels", Self.pairs(function.labels))
        add("Annotations", Self.pairs(function.annotations))
        if !function.instances.isEmpty {
            text += "\n" + Self.table(of: function.instances).text
        }
        if !function.config.isEmpty {
            text += "\nConfig:\n"
            for line in function.config.split(separator: "\n") { text += "  \(String(line).printable)\n" }
        }
    }

    /// Adds a fact. Skips an empty value. Indents further lines of a value, such as a traceback, below the first.
    private mutating func add(_ key: String, _ value: String) {
        guard !value.isEmpty else { return }
        let column = 14
        let lines = value.split(separator: "\n").map { String($0).printable }
        let head = "\(key):" + String(repeating: " ", count: column - key.count - 1)
        text += head + lines.joined(separator: "\n" + String(repeating: " ", count: column)) + "\n"
    }

    private static func pairs(_ map: [String: String]) -> String {
        map.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "\n")
    }

    /// `0: NVIDIA H200, 139.8 GiB, GPU-...`
    private static func line(of gpu: Pb_GPU) -> String {
        let memory = gpu.memoryBytes > 0 ? [ByteSize.text(gpu.memoryBytes)] : []
        return "\(gpu.number): \(([gpu.name] + memory + [gpu.uuid]).joined(separator: ", "))"
    }

    private static func table(of replicas: [Pb_Replica]) -> Table {
        // The column appears only if a replica has GPUs.
        let hasGPUs = replicas.contains { !$0.gpus.isEmpty }
        var table = Table(
            header: ["Version", "Replica", "Process", "State", "Restarts", "Ready for", "Constructor"]
                + (hasGPUs ? ["GPU"] : []))
        for replica in replicas {
            let gpus = replica.gpus.map(\.number).joined(separator: ",")
            table.add(
                [
                    String(replica.version), String(replica.number), replica.pid > 0 ? String(replica.pid) : "-",
                    replica.state,
                    String(replica.restarts), replica.state == "Ready" ? "\(Int64(replica.readySeconds)) s" : "-",
                    replica.constructorMicros > 0 ? "\(replica.constructorMicros / 1_000) ms" : "-",
                ] + (hasGPUs ? [gpus] : []))
        }
        return table
    }
}
