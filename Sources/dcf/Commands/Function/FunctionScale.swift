import ArgumentParser
import GatewayProtocol

/// `dcf function scale NAME N`: changes the number of a function's replicas.
struct FunctionScale: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale",
        abstract: "Changes the number of replicas of a function.",
        discussion: """
            Example:
              dcf function scale echo 4
              dcf function scale echo 0..4

            With a range the number follows the load. A range from 0 stops the function while it is idle. The next
            deploy sets the number from its config. If several versions get calls, all of them are scaled; echo@3
            scales one.
            """)

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The function, or one version of it, such as echo@3.")
    var name: String

    @Argument(help: ArgumentHelp("The number of replicas, or a range.", valueName: "n|min..max"))
    var replicas: ReplicaCount

    func run() async throws {
        var request = Pb_ScaleServiceRequest()
        request.serviceName = name
        request.replicas = replicas.most
        if replicas.isRange { request.minReplicas = replicas.least }
        let _: Pb_Message = try await connection.client().unary(GatewayMethod.replicaUpdate.path, request, about: name)
        Console.note("\(name): \(replicas.description)")
    }
}

/// A number of replicas, or a range such as `0..4`.
struct ReplicaCount: ExpressibleByArgument, Equatable {
    let least: UInt64
    let most: UInt64

    init?(argument: String) {
        if let number = UInt64(argument) {
            (least, most) = (number, number)
            return
        }
        guard let dots = argument.firstRange(of: ".."), let least = UInt64(argument[..<dots.lowerBound]),
            let most = UInt64(argument[dots.upperBound...])
        else { return nil }
        (self.least, self.most) = (least, most)
    }

    var isRange: Bool { least != most }

    var description: String {
        isRange ? "\(least) to \(most) replicas" : "\(most) \(most == 1 ? "replica" : "replicas")"
    }
}
