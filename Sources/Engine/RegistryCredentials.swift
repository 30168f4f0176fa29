internal import Foundation

/// The credentials that a registry needs for a push or a pull. They are never logged: the description names only the
/// user.
package struct RegistryCredentials: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The value of `X-Registry-Auth`: base64url of JSON.
    package let header: String
    package let description: String

    package init(registry: String, user: String, password: String) {
        // Helpers use this user name for a token.
        let isToken = user == "<token>"
        header = Self.encoded(
            isToken
                ? ["serveraddress": registry, "identitytoken": password]
                : ["serveraddress": registry, "username": user, "password": password])
        description = "credentials of \(isToken ? "a token" : user) for \(registry)"
    }

    /// Credentials in the form of the header `X-Registry-Auth`, as a client sent them.
    package init(header: String) {
        self.header = header
        description = "credentials"
    }

    /// The header's value without credentials.
    static let noneHeader = encoded([:])

    private static func encoded(_ object: [String: String]) -> String {
        let json = (try? JSONEncoder().encode(object)) ?? Data("{}".utf8)
        return json.base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(
            of: "/", with: "_")
    }

    package var debugDescription: String { description }
}
