import ArgumentParser
import GRPC
import GatewayProtocol

/// `dcf function log NAME`: what its replicas wrote.
struct FunctionLog: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log",
        abstract: "Shows a function's log.",
        discussion: """
            Example:
              dcf function log echo --tail 20 --follow
            """,
        aliases: ["logs"])

    @OptionGroup var connection: ConnectionOptions

    @Flag(help: "Go on with new lines until Ctrl-C.")
    var follow = false

    @Option(help: ArgumentHelp("The last N lines alone.", valueName: "n"))
    var tail: UInt64?

    @Argument(help: "The function.")
    var name: String

    func run() async throws {
        if tail == 0, !follow { return }
        let client = try connection.client()
        var request = Pb_LogRequest()
        request.functionName = name
        request.tail = tail ?? 0
        request.follow = follow
        do throws(Status) {
            let call = try client.channel.call(GatewayMethod.followLog)
            try await call.send(try GatewayClient.bytes(of: request))
            try await call.closeSend()
            try await Self.copy(call)
        } catch {
            throw await client.failure(error, about: name)
        }
    }

    private static func copy(_ call: ClientCall) async throws(Status) {
        while let bytes = try await call.receive() {
            let message: Pb_Messages = try GatewayClient.message(from: bytes)
            do throws(CommandFailure) {
                try Console.write(message.output)
            } catch {
                call.cancel()
                throw Status(.cancelled, error.description)
            }
        }
    }
}
