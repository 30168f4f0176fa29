import Engine
import FunctionConfig

/// The image of a function: what it is called, and whether it goes to a registry.
struct FunctionImage: Equatable {
    let reference: ImageReference
    /// Whether a deploy pushes it: a registry is named, in the image's name or apart.
    let isPushed: Bool

    /// - Parameter registry: instead of the config's.
    init(_ function: FunctionConfig, registry: String? = nil) throws(CommandFailure) {
        let name = function.image.isEmpty ? function.name.text : function.image
        let registry = registry ?? (function.dockerRegistry.isEmpty ? nil : function.dockerRegistry)
        do throws(EngineError) {
            let reference = try ImageReference(name)
            self.reference =
                try registry.map { registry throws(EngineError) in try reference.at(registry: registry) } ?? reference
            isPushed = registry != nil || reference.registry != ImageReference.registryDefault
        } catch {
            throw CommandFailure(function.failure(at: "image", "functions.\(function.name).image: \(error)"))
        }
    }
}
