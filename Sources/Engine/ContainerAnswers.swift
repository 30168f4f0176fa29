// What an engine answers about containers.

/// A container that an engine has, running or not.
package struct EngineContainer: Sendable, Equatable {
    package var id: String
    package var name: String
    package var image: String
    package var labels: [String: String]
    package var isRunning: Bool

    package init(id: String, name: String, image: String, labels: [String: String], isRunning: Bool) {
        self.id = id
        self.name = name
        self.image = image
        self.labels = labels
        self.isRunning = isRunning
    }
}

/// The present state of a container, as its engine knows it.
package struct ContainerState: Sendable, Equatable {
    package var isRunning: Bool
    /// How the container ended last. Meaningless while it runs.
    package var exit: ContainerExit

    package init(isRunning: Bool, exit: ContainerExit) {
        self.isRunning = isRunning
        self.exit = exit
    }
}

/// How a container ended.
package struct ContainerExit: Sendable, Equatable {
    /// The exit status of the first process, or 128 plus the number of the signal that ended it.
    package var status: Int32
    /// Whether the kernel killed something in the container because memory ran out.
    package var isOutOfMemory: Bool

    package init(status: Int32, isOutOfMemory: Bool) {
        self.status = status
        self.isOutOfMemory = isOutOfMemory
    }
}

/// A folder or file from outside that a container sees.
package struct ContainerMount: Sendable, Equatable {
    /// The path on the engine's machine.
    package var source: String
    /// The path in the container.
    package var target: String

    package init(source: String, target: String) {
        self.source = source
        self.target = target
    }
}

/// The stream to which a container wrote something.
package enum ContainerOutput: Sendable, Equatable {
    case standardOutput
    case standardError
}
