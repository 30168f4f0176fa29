/// What a task wrote: a line, or a part of one that is very long.
package struct SwarmLogLine: Sendable, Equatable {
    package var task: String
    package var output: ContainerOutput
    /// With its line end.
    package var text: [UInt8]

    package init(task: String, output: ContainerOutput, text: [UInt8]) {
        self.task = task
        self.output = output
        self.text = text
    }
}

extension SwarmLogLine {
    private static let taskLabel = "com.docker.swarm.task.id="

    /// A message of the engine: details of whose it is, a space, and the line.
    init?(message: [UInt8], output: ContainerOutput) {
        guard let space = message.firstIndex(of: 0x20) else { return nil }
        let details = String(decoding: message[..<space], as: UTF8.self).split(separator: ",")
        guard let task = details.first(where: { $0.hasPrefix(Self.taskLabel) }) else { return nil }
        self.init(
            task: String(task.dropFirst(Self.taskLabel.count)), output: output, text: Array(message[(space + 1)...]))
    }
}
