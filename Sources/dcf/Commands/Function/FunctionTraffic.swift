import ArgumentParser
import FunctionConfig
import GatewayProtocol

/// `dcf function traffic NAME 3=90 4=10`: splits calls between versions.
struct FunctionTraffic: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "traffic",
        abstract: "Splits the calls of a function between its versions, by weights that add up to 100.",
        discussion: """
            Example:
              dcf function traffic echo 3=90 4=10
              dcf function traffic echo 4=100

            Versions that are not named get no calls. Calls with the same value of the metadata key dcf-key go to the
            same version.
            """)

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The function.")
    var name: String

    @Argument(
        help: ArgumentHelp("A version and its share of the calls in percent.", valueName: "version=weight"),
        transform: Self.share)
    var shares: [Pb_TrafficShare]

    func run() async throws {
        var request = Pb_TrafficRequest()
        request.functionName = name
        request.traffic = shares
        let _: Pb_Message = try await connection.client().unary(GatewayMethod.setTraffic.path, request, about: name)
        Console.note("\(name): \(Self.text(of: shares))")
    }

    /// Reads `3=90`.
    static func share(_ text: String) throws -> Pb_TrafficShare {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let version = UInt64(parts[0]), version > 0, let weight = UInt64(parts[1]),
            weight <= 100
        else {
            throw ValidationError("\(text.quoted) is not VERSION=WEIGHT with a weight from 0 to 100, such as 3=90.")
        }
        var share = Pb_TrafficShare()
        share.version = version
        share.weight = weight
        return share
    }

    /// `version 3 gets 90 %, version 4 gets 10 % of the calls`.
    static func text(of shares: [Pb_TrafficShare]) -> String {
        shares.map { "version \($0.version) gets \($0.weight) %" }.joined(separator: ", ") + " of the calls"
    }
}
