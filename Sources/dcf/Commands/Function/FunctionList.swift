import ArgumentParser
import GRPC
import GatewayProtocol

/// `dcf function list`: a table of what is deployed.
struct FunctionList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists the functions of the gateway.",
        discussion: """
            Example:
              dcf function list
            """,
        aliases: ["ls"])

    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        let client = try connection.client()
        let functions: [Pb_Function]
        do throws(Status) {
            functions = try await client.list()
        } catch {
            throw client.failure(error)
        }
        try Console.write(Self.table(of: functions).text)
    }

    static func table(of functions: [Pb_Function]) -> Table {
        // Shown where there is something to show.
        let hasGPUs = functions.contains { !$0.gpus.isEmpty }
        var table = Table(
            header: ["Function", "Image", "Maintainer", "Invocations", "Replicas"] + (hasGPUs ? ["GPU"] : [])
                + ["Status", "Description"])
        for function in functions {
            let isWhole = function.availableReplicas == function.replicas
            let gpus = function.gpus.map(\.number).joined(separator: ",")
            table.add(
                [
                    function.name, function.image, function.maintainer, String(function.invocationCount),
                    isWhole ? String(function.replicas) : "\(function.availableReplicas)/\(function.replicas)",
                ] + (hasGPUs ? [gpus] : []) + [function.status, function.description_p])
        }
        return table
    }
}
