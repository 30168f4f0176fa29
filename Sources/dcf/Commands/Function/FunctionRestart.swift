import ArgumentParser
import GatewayProtocol

/// `dcf function restart NAME`: restarts all replicas of a function. Works for a Failed function too.
struct FunctionRestart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restart",
        abstract: "Restarts the replicas of a function.",
        discussion: """
            Example:
              dcf function restart echo
            """)

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The function.")
    var name: String

    func run() async throws {
        var request = Pb_FunctionRequest()
        request.functionName = name
        let _: Pb_Message = try await connection.client().unary(GatewayMethod.restart.path, request, about: name)
        Console.note("\(name): restarted")
    }
}
