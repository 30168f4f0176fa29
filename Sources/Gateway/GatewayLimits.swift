package import ControlPlane
internal import FunctionConfig
package import GatewayGRPC
package import GatewayHTTP

/// Every limit of the gateway. `--limit NAME=VALUE` sets one by its name. A value.
package struct GatewayLimits: Sendable, Equatable {
    /// The limits of functions and their calls, for every front.
    package var control = Limits()
    /// The limits of the gRPC front.
    package var grpc = GRPCLimits()
    /// The limits of the HTTP front.
    package var http = HTTPLimits()

    package init() {}

    /// All limits, in the order of the documentation.
    package static let named: [NamedLimit<GatewayLimits>] =
        Limits.named.map { $0.within(\.control) } + GRPCLimits.named.map { $0.within(\.grpc) }
        + HTTPLimits.named.map { $0.within(\.http) }

    /// Sets one limit from `NAME=VALUE`.
    package mutating func set(_ assignment: String) throws(LimitError) {
        guard let equals = assignment.firstIndex(of: "=") else { throw .noValue(assignment) }
        let name = String(assignment[..<equals])
        let value = String(assignment[assignment.index(after: equals)...])
        guard let limit = Self.named.first(where: { $0.name == name }) else {
            throw .unknown(name, nearest: Suggestion.nearest(to: name, among: Self.named.map(\.name)))
        }
        guard limit.assign(value, in: &self) else {
            throw .badValue(name: name, value: value, expected: "like \(limit.value(in: GatewayLimits()))")
        }
    }
}

/// Why a limit cannot be set.
package enum LimitError: Error, Equatable, CustomStringConvertible {
    case unknown(String, nearest: String?)
    case badValue(name: String, value: String, expected: String)
    case noValue(String)

    package var description: String {
        switch self {
        case .unknown(let name, let nearest):
            "unknown limit \"\(name)\"" + (nearest.map { "; did you mean \"\($0)\"?" } ?? "")
                + "; --limits lists them"
        case .badValue(let name, let value, let expected):
            "limit \(name): \"\(value)\" is not \(expected)"
        case .noValue(let text): "\"\(text)\" is not NAME=VALUE"
        }
    }
}
