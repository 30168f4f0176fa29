import ArgumentParser
import GatewayProtocol

/// `dcf function info NAME`: everything that the gateway knows about a function.
struct FunctionInfo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Shows everything about a function.",
        discussion: """
            Example:
              dcf function info echo
            """)

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The function.")
    var name: String

    func run() async throws {
        let client = try connection.client()
        var request = Pb_FunctionRequest()
        request.functionName = name
        let function: Pb_Function = try await client.unary(
            GatewayMethod.getMeta.path, request, about: name, timeout: GatewayClient.timeoutShort)
        try Console.write(FunctionSheet(function).text)
    }
}
