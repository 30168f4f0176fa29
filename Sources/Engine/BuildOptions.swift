/// How an image is built.
package struct BuildOptions: Sendable, Equatable {
    /// What it is called then: `name:tag`.
    package var tag: String
    /// The Dockerfile's path in the context.
    package var dockerfile = "Dockerfile"
    package var arguments: [String: String] = [:]
    package var labels: [String: String] = [:]
    /// Whether steps that were made before may be taken.
    package var usesCache = true
    /// The network of the steps; nil is the engine's.
    package var network: String?

    package init(tag: String) {
        self.tag = tag
    }
}
