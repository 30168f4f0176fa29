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
            try await name()
            let digest = try await engine.push(image.reference, credentials: credentials) { event in
                if isVerbose, !event.isUpdate { line.line(event.line) }
            }
            return try image.reference.pinned(to: digest)
        } catch {
            guard error.kind == .notFound else { throw CommandFailure("\(function): \(error)") }
            throw CommandFailure(
                "\(function): there is no image \(image.local) to push; \"dcf function build \(function)\" makes it")
        }
    }

    /// A build knows nothing of the registry. One that was made by other means may have its name already.
    private func name() async throws(EngineError) {
        guard image.local != image.reference else { return }
        do throws(EngineError) { try await engine.tag("\(image.local)", as: image.reference) } catch {
            guard error.kind == .notFound else { throw error }
        }
    }
}
