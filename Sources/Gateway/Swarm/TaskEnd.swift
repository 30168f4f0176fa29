internal import Engine
internal import FunctionConfig

/// What an engine says of a task's end, for people.
enum TaskEnd {
    private static let status = "task: non-zero exit ("

    /// - Parameter memory: its limit.
    static func exit(_ task: SwarmTask, memory: UInt64?) -> ReplicaExit {
        if task.state == "complete" { return .status(0) }
        guard task.message.hasPrefix(status),
            let number = Int32(task.message.dropFirst(status.count).prefix { $0 != ")" })
        else { return .task(task.message.isEmpty ? task.state : task.message) }
        if number == 137 {
            let limit = memory.map { "by the memory limit: limits.memory is \(ByteSize.text($0))" }
            return .task("killed, maybe \(limit ?? "because its node had no memory left")")
        }
        if number > 128, number <= 128 + 64 { return .signal(number - 128) }
        return .status(number)
    }

    /// Why a task could not be started at all.
    ///
    /// - Parameter node: where it was to run.
    static func refusal(_ task: SwarmTask, image: String, node: String) -> String {
        let place = node.isEmpty ? "" : "node \(node): "
        guard task.message.contains("No such image") else { return place + task.message }
        let hint =
            image.hasPrefix("sha256:")
            ? "it was never pushed to a registry, and this node has no copy (dcf function create --registry HOST:PORT)"
            : "it is not in the registry, or the registry refuses, or cannot be reached from that node"
        return "\(place)it cannot get the image \(image): \(hint)"
    }
}
