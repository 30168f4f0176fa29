import ArgumentParser
import FunctionConfig
import GatewayProtocol

/// `dcf function delete NAME... | -f FILE`: removes functions from the gateway.
struct FunctionDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Removes functions from the gateway: the named ones, or all functions of a config file.",
        discussion: """
            Example:
              dcf function delete echo ocr
              dcf function delete -f config.yaml
            """,
        aliases: ["remove", "rm"])

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The functions (default: all functions of the file that -f names).")
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

    /// Removes all functions that can be removed. Then throws if one could not be removed.
    private func delete(_ names: [String], with client: GatewayClient) async throws(CommandFailure) {
        var failures: [CommandFailure] = []
        for name in names {
            var request = Pb_DeleteFunctionRequest()
            request.functionName = name
            do throws(CommandFailure) {
                let _: Pb_Message = try await client.unary(GatewayMethod.delete.path, request, about: name)
                Console.note("\(name): deleted")
            } catch {
                failures.append(error)
            }
        }
        for failure in failures.dropLast() { Console.note("error: \(failure)") }
        if let last = failures.last { throw last }
    }
}
