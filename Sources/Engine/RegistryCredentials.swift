internal import Foundation

/// What a registry asks of those who push and pull. It is never written anywhere: its description says only whose it is.
package struct RegistryCredentials: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The value of `X-Registry-Auth`: base64url of JSON.
    package let header: String
    package let description: String

    package init(registry: String, user: String, password: String) {
        // What a helper names so is a token.
        let isToken = user == "<token>"
        header = Self.encoded(
            isToken
                ? ["serveraddress": registry, "identitytoken": password]
                : ["serveraddress": registry, "username": user, "password": password])
        description = "credentials of \(isToken ? "a token" : user) for \(registry)"
    }

    /// What somebody else sent as `X-Registry-Auth`.
    package init(header: String) {
        self.header = header
        description = "credentials"
    }

    /// The header's value for nobody in particular.
    static let nobody = encoded([:])

    private static func encoded(_ object: [String: String]) -> String {
        let json = (try? JSONEncoder().encode(object)) ?? Data("{}".utf8)
        return json.base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(
            of: "/", with: "_")
    }

    package var debugDescription: String { description }
}
