import ArgumentParser
import FunctionConfig

/// What `--engine` says: what functions are whose config does not say.
enum EngineChoice: String, ExpressibleByArgument, CaseIterable {
    case process
    case docker
    case swarm

    var deploy: DeployKind { self == .process ? .process : .image }
}
