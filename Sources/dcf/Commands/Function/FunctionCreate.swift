import ArgumentParser

/// `dcf function create`: builds and deploys functions.
///
/// Checks the config and the files, and builds images, on this machine. For a function that runs as a process, the
/// gateway prepares the environment and checks the handler's syntax during the deploy, because the gateway has the
/// interpreter that the function runs on. Its errors name the author's file and line.
struct FunctionCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Builds and deploys the functions of a config, and waits until they are ready.",
        discussion: """
            Example:
              dcf function create -f config.yaml -v
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var deploy: DeployOptions

    func run() async throws {
        try await deploy.run(connection, builds: true)
    }
}
