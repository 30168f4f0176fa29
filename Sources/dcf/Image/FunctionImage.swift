import Engine
import FunctionConfig

/// The names of a function's image: the one on this machine, and the one in a registry.
struct FunctionImage: Equatable {
    /// The name that a build gives the image, and that a trial runs.
    let local: ImageReference
    /// The name with the registry, if the image's name or the config names one. Else the same as `local`.
    let reference: ImageReference
    /// Whether a deploy pushes the image, because a registry is named.
    let isPushed: Bool

    /// - Parameter registry: replaces the config's `docker_registry`.
    init(_ function: FunctionConfig, registry: String? = nil) throws(CommandFailure) {
        let name = function.image.isEmpty ? function.name.text : function.image
        let registry = registry ?? (function.dockerRegistry.isEmpty ? nil : function.dockerRegistry)
        do throws(EngineError) {
            let local = try ImageReference(name)
            self.local = local
            reference =
                try registry.map { registry throws(EngineError) in try local.at(registry: registry) } ?? local
            isPushed = registry != nil || reference.registry != ImageReference.registryDefault
        } catch {
            throw CommandFailure(function.failure(at: "image", "functions.\(function.name).image: \(error)"))
        }
    }
}
