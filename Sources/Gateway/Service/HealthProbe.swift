internal import GRPC
internal import GatewayProtocol
internal import SwiftProtobuf

/// Asks a gateway of this machine whether it serves: for a container's health check, and for scripts.
package enum HealthProbe {
    private static let timeout = Duration.seconds(3)

    /// The gateway that listens at an address is asked over loopback where that is every address.
    ///
    /// - Returns: nil where it serves; else why it does not, for people.
    package static func problem(at address: HostAddress) async -> String? {
        let everywhere = ["0.0.0.0": "127.0.0.1", "::": "::1"]
        let target = HostAddress(host: everywhere[address.host] ?? address.host, port: address.port)
        let channel = Channel(target: "\(target)")
        defer { channel.close() }
        do throws(Status) {
            let reply = try await channel.unary(GatewayMethod.check, [], timeout: timeout)
            guard let answer = try? Grpc_Health_V1_HealthCheckResponse(serializedBytes: reply) else {
                return "what answers at \(target) is not a gateway"
            }
            return answer.status == .serving ? nil : "the gateway at \(target) does not serve: it stops, or it is stuck"
        } catch {
            switch error.code {
            case .deadlineExceeded: return "the gateway at \(target) has not answered within 3 s"
            case .unimplemented: return "what answers at \(target) is not a gateway"
            default: return "no gateway answers at \(target): \(error.message)"
            }
        }
    }
}
