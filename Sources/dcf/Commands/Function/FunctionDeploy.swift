import ArgumentParser

/// `dcf function deploy`: sends the functions of a config to the gateway: the folders of functions that run as
/// processes, or the images that were built.
struct FunctionDeploy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        abstract: "Deploys the functions of a config without building images, and waits until they are ready.",
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
