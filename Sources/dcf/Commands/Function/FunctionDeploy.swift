import ArgumentParser

/// `dcf function deploy`: ships the functions of a config to the gateway: the folders of processes, the images that were built.
struct FunctionDeploy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        abstract: "Deploys the functions of a config, or those named, and waits until they are ready.",
        discussion: """
            Example:
              dcf function deploy -f config.yaml echo --update
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var deploy: DeployOptions

    func run() async throws {
        try await deploy.run(connection, builds: false)
    }
}
