import ArgumentParser
import FunctionConfig

/// What `--engine` says: what functions are whose config does not say.
enum EngineChoice: String, ExpressibleByArgument, CaseIterable {
    case process
    case docker

    var deploy: DeployKind { self == .docker ? .image : .process }
}
