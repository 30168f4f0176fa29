/// An image that an engine has.
package struct EngineImage: Sendable, Equatable {
    /// Names this very image for ever: `sha256:...`.
    package var id: String
    package var architecture: String
    package var os: String
    /// Whom it wants to run as; empty where it does not say.
    package var user: String
    /// `NAME=VALUE`.
    package var environment: [String]
    package var labels: [String: String]
    /// As registries know it: `registry/name@sha256:...`.
    package var digests: [String]
    /// Its names: `name:tag`.
    package var tags: [String]
    /// Names of the variables that it sets.
    package var variableNames: Set<String> { Set(environment.map { String($0.prefix { $0 != "=" }) }) }
    /// In bytes.
    package var size: UInt64

    package init(
        id: String, architecture: String, os: String, user: String, environment: [String], labels: [String: String],
        digests: [String], tags: [String] = [], size: UInt64
    ) {
        self.id = id
        self.architecture = architecture
        self.os = os
        self.user = user
        self.environment = environment
        self.labels = labels
        self.digests = digests
        self.tags = tags
        self.size = size
    }
}
