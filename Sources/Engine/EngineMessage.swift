/// Cases that Docker engines tell apart in their messages only: no status or code exists for them.
///
/// This table is the only place that knows Docker's words. Letter case does not matter.
package enum EngineMessage: Sendable {
    /// The disk of the engine's machine is full.
    case diskFull
    /// The engine or a registry does not have the image, container or manifest.
    case notFound
    /// The engine has no image of the name.
    case noImage
    /// The engine has no container of the id.
    case noContainer
    /// A registry refuses the credentials, or cannot be reached.
    case registryTrouble
    /// A container asked for GPUs, and the engine has no NVIDIA runtime.
    case noGPUs
    /// The engine cannot reach containerd, which runs its containers.
    case noContainerd
    /// The name is taken.
    case nameTaken
    /// Something still uses the secret.
    case inUse
    /// Another client changed the service first.
    case changedMeanwhile
    /// The node of a task no longer fits the task. A Swarm says so each time it moves a task with devices.
    case constraintsNotMet
    /// The engine does not speak the version of the API that the request used.
    case otherVersion

    /// The words of a message of this case: it has all texts of one of these groups.
    private var words: [[String]] {
        switch self {
        case .diskFull: [["no space left"]]
        case .notFound: [["manifest unknown"], ["not found"], ["no such image"]]
        case .noImage: [["no such image"]]
        case .noContainer: [["no such container"]]
        case .registryTrouble:
            [
                ["unauthorized"], ["denied"], ["no basic auth"], ["authentication required"], ["connection refused"],
                ["no such host"], ["i/o timeout"], ["server gave http response"], ["lookup "],
            ]
        case .noGPUs: [["could not select device driver"]]
        case .noContainerd: [["containerd.sock"]]
        case .nameTaken: [["already exists"]]
        case .inUse: [["in use"]]
        case .changedMeanwhile: [["out of sequence"]]
        case .constraintsNotMet: [["no longer meets constraints"]]
        case .otherVersion: [["client version", "too old"], ["client version", "too new"]]
        }
    }

    /// Whether an engine's text says this.
    package func isSaid(in text: String) -> Bool {
        let text = text.lowercased()
        return words.contains { $0.allSatisfy { text.contains($0) } }
    }
}
