import ArgumentParser
import GatewayProtocol

/// `dcf function scale NAME N`: changes how many replicas it has.
struct FunctionScale: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale",
        abstract: "Changes the number of replicas of a function.",
        discussion: """
            Example:
              dcf function scale echo 4
            """)

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The function.")
    var name: String

    @Argument(help: "How many replicas.")
    var replicas: UInt64

    func run() async throws {
        var request = Pb_ScaleServiceRequest()
        request.serviceName = name
        request.replicas = replicas
        let _: Pb_Message = try await connection.client().unary(GatewayMethod.replicaUpdate, request, about: name)
        Console.note("\(name): \(replicas) \(replicas == 1 ? "replica" : "replicas")")
    }
}
