import ArgumentParser
import GRPC
import GatewayProtocol

/// `dcf function log NAME`: the output of a function's replicas.
struct FunctionLog: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log",
        abstract: "Shows a function's log.",
        discussion: """
            Example:
              dcf function log echo --tail 20 --follow
              dcf function log echo --request 0h3c9k2m4p5qr
            """,
        aliases: ["logs"])

    @OptionGroup var connection: ConnectionOptions

    @Flag(help: "Keep showing new lines until Ctrl-C.")
    var follow = false

    @Option(help: ArgumentHelp("Start with the last N lines only.", valueName: "n"))
    var tail: UInt64?

    @Option(
        help: ArgumentHelp("Only lines that were written for the request with this x-request-id.", valueName: "id"))
    var request: String?

    @Argument(help: "The function.")
    var name: String

    func run() async throws {
        if tail == 0, !follow { return }
        let client = try connection.client()
        var message = Pb_LogRequest()
        message.functionName = name
        message.tail = tail ?? 0
        message.follow = follow
        message.requestID = request ?? ""
        do throws(Status) {
            let call = try client.channel.call(GatewayMethod.followLog.path)
            try await call.send(try GatewayClient.bytes(of: message))
            try await call.closeSend()
            try await call.copyOutput()
        } catch {
            throw await client.failure(error, about: name)
        }
    }
}
