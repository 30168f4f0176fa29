/// How an engine builds an image.
package struct BuildOptions: Sendable, Equatable {
    /// The name of the new image: `name:tag`.
    package var tag: String
    /// The path of the Dockerfile in the context.
    package var dockerfile = "Dockerfile"
    package var arguments: [String: String] = [:]
    package var labels: [String: String] = [:]
    /// Whether the engine may reuse the results of earlier builds.
    package var usesCache = true
    /// The network that the build steps use. Nil selects the engine's default.
    package var network: String?

    package init(tag: String) {
        self.tag = tag
    }
}
