import ArgumentParser
import GRPC
import GatewayProtocol

/// `dcf function list`: a table of the deployed functions.
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
        try Console.write(Self.text(of: functions))
    }

    /// The table, and below it the reasons of functions that are not Ready.
    static func text(of functions: [Pb_Function]) -> String {
        let reasons = functions.filter { !$0.reason.isEmpty }.map { "\($0.name): \(oneLine($0.reason))\n" }
        return table(of: functions).text + (reasons.isEmpty ? "" : "\n" + reasons.joined())
    }

    /// The first line of a reason, and the time of the next try. `info` shows the whole reason.
    private static func oneLine(_ reason: String) -> String {
        let lines = reason.split(separator: "\n")
        guard lines.count > 1, let first = lines.first, let last = lines.last else { return reason }
        let next = last.split(separator: ";").last.map(String.init) ?? ""
        return "\(first) ..." + (next.hasPrefix(" next try") ? ";\(next)" : "")
    }

    /// An image's name with a short digest. The beginning is enough to tell images apart, and `info` shows the whole
    /// digest.
    private static func short(_ image: String) -> String {
        let mark = "@sha256:"
        guard let at = image.firstRange(of: mark)?.upperBound, image[at...].count > 12 else { return image }
        return String(image[..<at] + image[at...].prefix(12))
    }

    static func table(of functions: [Pb_Function]) -> Table {
        // The column appears only if a function has GPUs.
        let hasGPUs = functions.contains { !$0.gpus.isEmpty }
        var table = Table(
            header: ["Function", "Image", "Maintainer", "Invocations", "Replicas"] + (hasGPUs ? ["GPU"] : [])
                + ["Status", "Description"])
        for function in functions {
            let isWhole = function.availableReplicas == function.replicas
            let gpus = function.gpus.map(\.number).joined(separator: ",")
            table.add(
                [
                    function.name, Self.short(function.image), function.maintainer, String(function.invocationCount),
                    isWhole ? String(function.replicas) : "\(function.availableReplicas)/\(function.replicas)",
                ] + (hasGPUs ? [gpus] : []) + [function.status, function.description_p])
        }
        return table
    }
}
