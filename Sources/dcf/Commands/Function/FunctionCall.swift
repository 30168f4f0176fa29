import ArgumentParser
import FoundationEssentials
import FunctionConfig
import GRPC
import GatewayProtocol

/// `dcf function call NAME`: sends standard input as one call, and writes the reply to standard output byte for byte.
struct FunctionCall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call",
        abstract: "Calls a function with the bytes of standard input.",
        discussion: """
            Example:
              echo hello | dcf function call echo
              base64 page.png | dcf function call ocr > lines.json
              echo hello | dcf function call echo@3

            If the handler streams its reply, each piece is written as it arrives.
            """,
        aliases: ["invoke"])

    @OptionGroup var connection: ConnectionOptions

    @Option(
        help: ArgumentHelp(
            "How long to wait, such as 500ms, 30s or 5m (default: the function's timeout.call).", valueName: "time"))
    var timeout: String?

    @Argument(help: "The function, or one version of it, such as echo@3.")
    var name: String

    func run() async throws {
        let timeout = try duration()
        let client = try connection.client()
        var request = Pb_InvokeServiceRequest()
        request.service = name
        request.input = Data(try Console.readAll())
        do throws(Status) {
            let call = try client.channel.call(GatewayMethod.invokes.path, timeout: timeout)
            try await call.send(try GatewayClient.bytes(of: request))
            try await call.closeSend()
            try await call.copyOutput()
        } catch {
            throw await client.failure(error, about: name)
        }
    }

    private func duration() throws(CommandFailure) -> Duration? {
        guard let timeout else { return nil }
        guard let duration = Duration(text: timeout), duration > .zero else {
            throw CommandFailure(
                "--timeout must be a duration above 0, such as 500ms, 30s or 5m, not \(timeout.quoted)")
        }
        return duration
    }
}
