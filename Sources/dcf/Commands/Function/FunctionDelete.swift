import ArgumentParser
import FunctionConfig
import GRPC
import GatewayProtocol

/// `dcf function delete NAME... | -f FILE`: removes functions.
struct FunctionDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Removes functions from the gateway: those named, or all of a config file that is named.",
        discussion: """
            Example:
              dcf function delete echo ocr
              dcf function delete -f config.yaml
            """,
        aliases: ["remove", "rm"])

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The functions.")
    var names: [String] = []

    func validate() throws {
        if names.isEmpty, connection.config == nil {
            throw ValidationError("Name the functions, or a config file with -f.")
        }
    }

    func run() async throws {
        guard names.isEmpty else {
            return try await delete(names, with: try connection.client())
        }
        let config = try LoadedConfig(path: connection.configPath)
        let names = try config.functions(named: []).map(\.name.text)
        try await delete(names, with: try connection.client(of: config))
    }

    /// Removes as many as can be removed, then fails when some could not.
    private func delete(_ names: [String], with client: GatewayClient) async throws(CommandFailure) {
        var failures: [CommandFailure] = []
        for name in names {
            var request = Pb_DeleteFunctionRequest()
            request.functionName = name
            do throws(CommandFailure) {
                let _: Pb_Message = try await client.unary(GatewayMethod.delete, request, about: name)
                Console.note("\(name): deleted")
            } catch {
                failures.append(error)
            }
        }
        for failure in failures.dropLast() { Console.note("error: \(failure)") }
        if let last = failures.last { throw last }
    }
}
