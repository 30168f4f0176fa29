import ArgumentParser

/// `dcf function create`: build and deploy in one.
///
/// Config and files are checked here, and images are built here. The rest of the build of a process, the environment and the
/// handler's syntax, is the gateway's work in this deploy: it has the interpreter that counts, and its errors come back with
/// the author's file and line.
struct FunctionCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Checks and deploys the functions of a config, or those named, and waits until they are ready.",
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
