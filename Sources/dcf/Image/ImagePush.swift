import Engine
import FunctionConfig

/// Sends a function's image to its registry.
struct ImagePush {
    let image: FunctionImage
    let engine: Engine
    let credentials: RegistryCredentials?
    let isVerbose: Bool

    /// - Returns: the very image, by its digest.
    func run(_ line: ProgressLine, function: FunctionName) async throws(CommandFailure) -> ImageReference {
        line.step("\(function): pushing \(image.reference)")
        do throws(EngineError) {
            let digest = try await engine.push(image.reference, credentials: credentials) { event in
                if isVerbose, !event.isUpdate { line.line(event.line) }
            }
            return try image.reference.pinned(to: digest)
        } catch {
            guard error.kind == .notFound else { throw CommandFailure("\(function): \(error)") }
            throw CommandFailure(
                "\(function): there is no image \(image.reference) to push; \"dcf function build \(function)\" makes it"
            )
        }
    }
}
