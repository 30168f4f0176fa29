import Engine
import FunctionConfig

/// The image of a function: what it is called here, and where it goes to a registry, what it is called there.
struct FunctionImage: Equatable {
    /// What a build calls it, and what a trial runs.
    let local: ImageReference
    /// With its registry, where one is named, in the image's name or apart; else the same.
    let reference: ImageReference
    /// Whether a deploy pushes it: a registry is named.
    let isPushed: Bool

    /// - Parameter registry: instead of the config's.
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
