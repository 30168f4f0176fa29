import ArgumentParser
import FunctionConfig
import GRPC
import GatewayProtocol

/// `dcf version`: the versions of this program and of the gateway.
struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Shows the versions of dcf and of the gateway.",
        discussion: """
            Example:
              dcf version -g 10.0.0.5:32222
            """)

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try Console.write("dcf: \(Release.version)\n")
        let client = try connection.client()
        let info: Pb_Message
        do throws(Status) {
            info = try await client.unary(GatewayMethod.info.path, Pb_Empty(), timeout: GatewayClient.timeoutShort)
        } catch {
            // This program's own version is already printed.
            throw client.failure(error)
        }
        try Console.write("gateway at \(client.location.address): \(info.msg)\n")
    }
}
