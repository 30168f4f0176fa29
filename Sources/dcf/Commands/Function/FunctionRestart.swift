import ArgumentParser
import GatewayProtocol

/// `dcf function restart NAME`: starts its replicas anew, also those of a function that is Failed.
struct FunctionRestart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restart",
        abstract: "Starts the replicas of a function anew.",
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
        let _: Pb_Message = try await connection.client().unary(GatewayMethod.restart, request, about: name)
        Console.note("\(name): restarted")
    }
}
