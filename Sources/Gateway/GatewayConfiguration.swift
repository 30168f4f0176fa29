internal import Engine
internal import Environments
package import FunctionConfig

/// What a gateway is started with.
package struct GatewayConfiguration: Sendable {
    /// Where calls are listened for.
    package var address: HostAddress
    package var dataFolder: String
    package var limits: Limits
    /// The interpreter of functions that name none; nil is `python3` on the PATH.
    package var python: String?
    /// What functions are whose config does not say.
    package var deploy: DeployKind
    /// Makes the client of the container engine, when the first function needs it.
    package var makeEngine: ContainerEngineMaker
    /// How images run as services of a Swarm; nil: they run as containers of this machine.
    package var swarm: SwarmConfiguration?
    /// Whether an address that other machines can reach is all right without encryption.
    package var allowsPlaintext: Bool
    /// The path of `dcf-watcher`.
    package var launcher: String
    /// The gateway's own environment.
    package var variables: [String: String]

    package init(
        address: HostAddress, dataFolder: String, limits: Limits = Limits(), python: String? = nil,
        deploy: DeployKind = .process,
        makeEngine: @escaping ContainerEngineMaker = {
            () throws(EngineError) in throw EngineError(.failed, "this gateway has no container engine")
        },
        swarm: SwarmConfiguration? = nil, allowsPlaintext: Bool = false, launcher: String, variables: [String: String]
    ) {
        self.address = address
        self.dataFolder = dataFolder
        self.limits = limits
        self.python = python
        self.deploy = deploy
        self.makeEngine = makeEngine
        self.swarm = swarm
        self.allowsPlaintext = allowsPlaintext
        self.launcher = launcher
        self.variables = variables
    }
}

extension GatewayConfiguration {
    /// The release that this gateway is of.
    package static var version: String { Release.version }

    /// The environment of this process, read now.
    package static func ownVariables() -> [String: String] { EnvironmentVariables.ours() }
}
