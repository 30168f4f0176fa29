import ArgumentParser
import GatewayProtocol

/// `dcf function rollback NAME`: sends all calls to an earlier version.
struct FunctionRollback: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Returns to an earlier version of a function. It starts beside the current one, then takes over.",
        discussion: """
            Example:
              dcf function rollback echo
              dcf function rollback echo --to 3
            """)

    @OptionGroup var connection: ConnectionOptions

    @Option(help: ArgumentHelp("The version (default: the one before the current version).", valueName: "version"))
    var to: UInt64?

    @Argument(help: "The function.")
    var name: String

    func validate() throws {
        if to == 0 { throw ValidationError("--to: versions start at 1.") }
    }

    func run() async throws {
        var request = Pb_RollbackRequest()
        request.functionName = name
        request.version = to ?? 0
        let reply: Pb_Message = try await connection.client().unary(GatewayMethod.rollback.path, request, about: name)
        Console.note("\(name): \(reply.msg)")
    }
}
