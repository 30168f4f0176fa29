/// An image that an engine has.
package struct EngineImage: Sendable, Equatable {
    /// Identifies exactly this image for good: `sha256:...`.
    package var id: String
    package var architecture: String
    package var os: String
    /// The user that the image names. Empty if it names none.
    package var user: String
    /// The variables that the image sets, each as `NAME=VALUE`.
    package var environment: [String]
    package var labels: [String: String]
    /// The image's names in registries: `registry/name@sha256:...`.
    package var digests: [String]
    /// The image's names in the engine: `name:tag`.
    package var tags: [String]
    /// The names of the variables that the image sets.
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
