import ArgumentParser
import FoundationEssentials
import GRPC
import GatewayProtocol

/// `dcf function versions NAME`: a table of a function's kept versions.
struct FunctionVersions: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "versions",
        abstract: "Lists the kept versions of a function, and which of them get its calls.",
        discussion: """
            Example:
              dcf function versions echo
              echo hello | dcf function call echo@3

            A call can name a version: echo@3.
            """)

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The function.")
    var name: String

    func run() async throws {
        var request = Pb_FunctionRequest()
        request.functionName = name
        let reply: Pb_FunctionVersions = try await connection.client().unary(
            GatewayMethod.versions.path, request, about: name, timeout: GatewayClient.timeoutShort)
        try Console.write(Self.table(of: reply.versions).text)
    }

    static func table(of versions: [Pb_FunctionVersion]) -> Table {
        var table = Table(header: ["Version", "Created", "Traffic", "Replicas", "Status"])
        for version in versions {
            let isWhole = version.availableReplicas == version.replicas
            table.add([
                String(version.version), time(version.created), "\(version.weight) %",
                isWhole ? String(version.replicas) : "\(version.availableReplicas)/\(version.replicas)",
                version.reason.isEmpty ? version.status : "\(version.status): \(version.reason)",
            ])
        }
        return table
    }

    /// `2026-01-02T03:04:05Z`.
    private static func time(_ milliseconds: Int64) -> String {
        Date(timeIntervalSince1970: Double(milliseconds / 1_000)).formatted(.iso8601)
    }
}
