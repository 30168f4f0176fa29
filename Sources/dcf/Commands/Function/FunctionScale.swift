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
              dcf function scale echo 0..4

            With a range the number follows the load; from 0 on the function is stopped while it is idle. The number holds
            until the next deploy, whose config counts. Of a function whose calls are divided, all versions that get some
            are scaled; echo@3 scales one.
            """)

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The function.")
    var name: String

    @Argument(help: ArgumentHelp("How many replicas, or from the least to the most.", valueName: "n|min..max"))
    var replicas: ReplicaCount

    func run() async throws {
        var request = Pb_ScaleServiceRequest()
        request.serviceName = name
        request.replicas = replicas.most
        if replicas.isRange { request.minReplicas = replicas.least }
        let _: Pb_Message = try await connection.client().unary(GatewayMethod.replicaUpdate, request, about: name)
        Console.note("\(name): \(replicas.description)")
    }
}
