internal import GRPC
internal import GatewayProtocol
package import Platform
internal import SwiftProtobuf

/// Asks a gateway on this machine whether it serves. A container's health check and scripts use it.
package enum HealthProbe {
    private static let timeout = Duration.seconds(3)

    /// Asks the gateway that listens at an address; over loopback where it listens on every address.
    ///
    /// - Returns: nil where the gateway serves; otherwise the reason, in words.
    package static func problem(at address: HostAddress) async -> String? {
        let everywhere = ["0.0.0.0": "127.0.0.1", "::": "::1"]
        let target = HostAddress(host: everywhere[address.host] ?? address.host, port: address.port)
        let channel = Channel(target: "\(target)")
        defer { channel.close() }
        do throws(Status) {
            let reply = try await channel.unary(GatewayMethod.check.path, [], timeout: timeout)
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
