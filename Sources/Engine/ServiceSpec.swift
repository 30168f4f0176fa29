/// What an engine needs to create a Swarm service: the container of each task, and where tasks may run.
package struct ServiceSpec: Sendable, Equatable {
    /// A secret as tasks see it.
    package struct Secret: Sendable, Equatable {
        package var id: String
        package var name: String
        /// The name of the file in `/run/secrets`.
        package var file: String
        /// The number of the user and group that own the file.
        package var user: UInt32
        package var mode: UInt32

        package init(id: String, name: String, file: String, user: UInt32, mode: UInt32) {
            self.id = id
            self.name = name
            self.file = file
            self.user = user
            self.mode = mode
        }
    }

    package var name: String
    package var labels: [String: String] = [:]
    /// The container of each task. A service ignores its mounts, GPUs, network and name.
    package var container: ContainerSpec
    package var secrets: [Secret] = []
    /// The conditions for nodes, in the form of `docker service create --constraint`.
    package var constraints: [String] = []
    /// The architecture of the image, as images name it. Empty allows any node.
    package var architecture = ""
    /// How many GPUs each task needs. Nodes offer them as the generic resource `gpu`.
    package var gpus = 0
    /// The overlay network of the tasks.
    package var network: String
    package var replicas: Int
    /// The time between the end of a task and the start of the task that replaces it.
    package var restartDelay = Duration.seconds(1)
    /// How long a task may take to end after SIGTERM.
    package var stopGrace = Duration.seconds(10)

    package init(name: String, container: ContainerSpec, network: String, replicas: Int) {
        self.name = name
        self.container = container
        self.network = network
        self.replicas = replicas
    }
}
