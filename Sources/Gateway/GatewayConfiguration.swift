package import ControlPlane
package import GatewayGRPC
internal import Environments
internal import FunctionConfig
package import Platform

/// The settings with which a gateway is started. A value.
package struct GatewayConfiguration: Sendable {
    /// The address on which the gateway listens for calls.
    package var address: HostAddress
    package var control: ControlConfiguration
    /// The limits of the gRPC front.
    package var grpc: GRPCLimits
    /// Whether calls without encryption are allowed at an address that other machines can reach.
    package var allowsPlaintext: Bool

    /// - Parameter control: gets the limits of `limits`.
    package init(
        address: HostAddress, control: ControlConfiguration, limits: GatewayLimits = GatewayLimits(),
        allowsPlaintext: Bool = false
    ) {
        self.address = address
        self.control = control
        self.control.limits = limits.control
        grpc = limits.grpc
        self.allowsPlaintext = allowsPlaintext
    }
}

extension GatewayConfiguration {
    /// The release of this gateway.
    package static var version: String { Release.version }

    /// The environment of this process, read now.
    package static func ownVariables() -> [String: String] { EnvironmentVariables.ours() }
}
