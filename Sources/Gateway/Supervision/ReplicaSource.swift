internal import Environments

/// What a version's replicas are started from.
enum ReplicaSource: Sendable {
    case process(ProcessSource)
    case image(ImageSource)
    /// A service of a Swarm.
    case service(ImageSource)
}

/// A folder and an interpreter of this machine.
struct ProcessSource: Sendable {
    /// The unpacked bundle.
    var folder: String
    var python: PythonEnvironment
}
