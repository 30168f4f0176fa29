/// What a Swarm service is made with: a container for each of its tasks, and where they may run.
package struct ServiceSpec: Sendable, Equatable {
    /// A secret as the tasks see it.
    package struct Secret: Sendable, Equatable {
        package var id: String
        package var name: String
        /// A file's name in `/run/secrets`.
        package var file: String
        /// Whose the file is.
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
    /// Of each task. Its mounts, GPUs, network and name are not looked at.
    package var container: ContainerSpec
    package var secrets: [Secret] = []
    /// As `docker service create --constraint` takes them.
    package var constraints: [String] = []
    /// The processor that the image is for, as images name it; empty is any.
    package var architecture = ""
    /// Devices of a node that each task needs, of the generic resource `gpu`.
    package var gpus = 0
    /// The overlay network of the tasks.
    package var network: String
    package var replicas: Int
    /// How long after the end of a task the next takes its place.
    package var restartDelay = Duration.seconds(1)
    /// How long a task may take to end when it is told to.
    package var stopGrace = Duration.seconds(10)

    package init(name: String, container: ContainerSpec, network: String, replicas: Int) {
        self.name = name
        self.container = container
        self.network = network
        self.replicas = replicas
    }
}
