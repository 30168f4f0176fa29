import Engine
import FunctionConfig

/// Pushes a function's image to its registry.
struct ImagePush {
    let image: FunctionImage
    let engine: Engine
    let credentials: RegistryCredentials?
    let isVerbose: Bool

    /// - Returns: the name of the pushed image with its digest.
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
                "\(function): there is no image \(image.local) to push; "
                    + "build it with \"dcf function build \(function)\""
            )
        }
    }

    /// Gives the image its name for the registry. An image that was not built by `dcf` may have only that name.
    private func name() async throws(EngineError) {
        guard image.local != image.reference else { return }
        do throws(EngineError) { try await engine.tag("\(image.local)", as: image.reference) } catch {
            guard error.kind == .notFound else { throw error }
        }
    }
}
