internal import Engine
package import FunctionConfig
internal import Environments

/// The configuration of a control plane.
package struct ControlConfiguration: Sendable {
    package var dataFolder: String
    package var limits: Limits
    /// The interpreter for functions whose config names none. Nil stands for `python3` on the PATH.
    package var python: String?
    /// How functions run, as processes or as images, if neither the deploy nor the config says it.
    package var deploy: DeployKind
    /// Makes the client of the container engine. Called when the first function needs the engine.
    package var makeEngine: ContainerEngineMaker
    /// How images run as services of a Swarm. With nil they run as containers on this machine.
    package var swarm: SwarmConfiguration?
    /// The path of `dcf-watcher`.
    package var launcher: String
    /// The gateway's own environment.
    package var variables: [String: String]

    package init(
        dataFolder: String, limits: Limits = Limits(), python: String? = nil, deploy: DeployKind = .process,
        makeEngine: @escaping ContainerEngineMaker = {
            () throws(EngineError) in throw EngineError(.failed, "this gateway has no container engine")
        },
        swarm: SwarmConfiguration? = nil, launcher: String, variables: [String: String]
    ) {
        self.dataFolder = dataFolder
        self.limits = limits
        self.python = python
        self.deploy = deploy
        self.makeEngine = makeEngine
        self.swarm = swarm
        self.launcher = launcher
        self.variables = variables
    }
}
