package import ControlPlane
package import GatewayGRPC
package import GatewayHTTP
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
    /// Where and to whom HTTP is answered; nil where it is not answered at all.
    package var http: HTTPSettings?
    /// The limits of the HTTP front.
    package var httpLimits: HTTPLimits
    /// Whether calls without encryption are allowed at an address that other machines can reach.
    package var allowsPlaintext: Bool

    /// - Parameter control: gets the limits of `limits`.
    package init(
        address: HostAddress, control: ControlConfiguration, limits: GatewayLimits = GatewayLimits(),
        http: HTTPSettings? = HTTPSettings(), allowsPlaintext: Bool = false
    ) {
        self.address = address
        self.http = http
        httpLimits = limits.http
        self.control = control
        self.control.limits = limits.control
        grpc = limits.grpc
        self.allowsPlaintext = allowsPlaintext
    }
}

/// Where HTTP is answered beside the port of gRPC, and which names and pages may call. A value.
package struct HTTPSettings: Sendable {
    /// The addresses of listeners for HTTP alone.
    package var addresses: [HostAddress]
    /// Values of `Host` that are let in, beside the gateway's addresses and `localhost`.
    package var hosts: [String]
    /// Origins of pages that may call, such as `https://app.example.org`.
    package var origins: [String]

    package init(addresses: [HostAddress] = [], hosts: [String] = [], origins: [String] = []) {
        self.addresses = addresses
        self.hosts = hosts
        self.origins = origins
    }
}

extension GatewayConfiguration {
    /// The release of this gateway.
    package static var version: String { Release.version }

    /// The environment of this process, read now.
    package static func ownVariables() -> [String: String] { EnvironmentVariables.ours() }
}
