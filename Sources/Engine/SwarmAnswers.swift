// What an engine answers about its Swarm.

/// A service, as its Swarm has it.
package struct SwarmServiceState: Sendable, Equatable {
    package var id: String
    package var name: String
    package var labels: [String: String]
    /// The number of this state. A change names the state that it starts from.
    package var index: UInt64
    /// How many tasks the service should have.
    package var replicas: Int
    /// The ids of the secrets that the tasks get.
    package var secrets: [String]

    package init(
        id: String, name: String, labels: [String: String], index: UInt64, replicas: Int = 0,
        secrets: [String] = []
    ) {
        self.id = id
        self.name = name
        self.labels = labels
        self.index = index
        self.replicas = replicas
        self.secrets = secrets
    }
}

/// One container of a service: planned, running or ended.
package struct SwarmTask: Sendable, Equatable {
    package var id: String
    package var service: String
    /// The node's id. Empty until the Swarm has assigned a node.
    package var node: String
    /// `pending`, `running`, `failed`, `rejected` and others.
    package var state: String
    /// The state that the Swarm wants: `running`, `shutdown`, `ready` (the task waits for its turn), `remove`.
    package var wanted: String
    /// The engine's message about the task, for people. May be empty.
    package var message: String

    package init(id: String, service: String, node: String, state: String, wanted: String, message: String) {
        self.id = id
        self.service = service
        self.node = node
        self.state = state
        self.wanted = wanted
        self.message = message
    }

    /// Whether the task has ended, for any reason. A task of a lost node never ends.
    package var hasEnded: Bool {
        ["complete", "shutdown", "failed", "rejected", "remove", "orphaned"].contains(state)
    }

    /// Whether the engine is about to give the task up, or has given it up.
    package var isUnwanted: Bool { hasEnded || !["running", "ready"].contains(wanted) }
}

/// A machine of a Swarm.
package struct SwarmNode: Sendable, Equatable {
    package var id: String
    package var name: String
    /// `ready`, `down`, `unknown` or `disconnected`.
    package var state: String

    package init(id: String, name: String, state: String) {
        self.id = id
        self.name = name
        self.state = state
    }
}

/// A network of an engine.
package struct SwarmNetwork: Sendable, Equatable {
    package var id: String
    package var driver: String
    package var isEncrypted: Bool
    package var isAttachable: Bool

    package init(id: String, driver: String, isEncrypted: Bool, isAttachable: Bool) {
        self.id = id
        self.driver = driver
        self.isEncrypted = isEncrypted
        self.isAttachable = isAttachable
    }
}

/// A line that a task wrote, or a part of a very long line.
package struct SwarmLogLine: Sendable, Equatable {
    package var task: String
    package var output: ContainerOutput
    /// The bytes of the line, line end included.
    package var text: [UInt8]

    package init(task: String, output: ContainerOutput, text: [UInt8]) {
        self.task = task
        self.output = output
        self.text = text
    }
}

extension SwarmLogLine {
    private static let taskLabel = "com.docker.swarm.task.id="

    /// Reads one message of a service's log: details that name the task, a space, and the line.
    init?(message: [UInt8], output: ContainerOutput) {
        guard let space = message.firstIndex(of: 0x20) else { return nil }
        let details = String(decoding: message[..<space], as: UTF8.self).split(separator: ",")
        guard let task = details.first(where: { $0.hasPrefix(Self.taskLabel) }) else { return nil }
        self.init(
            task: String(task.dropFirst(Self.taskLabel.count)), output: output, text: Array(message[(space + 1)...]))
    }
}
