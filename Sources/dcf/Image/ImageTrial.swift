import Engine
import FunctionConfig
import Glibc
import SystemPackage

/// One call of a function in a container of its image, without a gateway, from standard input to standard output.
struct ImageTrial {
    let function: FunctionConfig
    let image: FunctionImage
    let engine: Engine

    /// Runs the container and copies its output to the standard streams.
    ///
    /// - Returns: the exit status of the container.
    func run(input: [UInt8]) async throws(CommandFailure) -> Int32 {
        do throws(EngineError) {
            let spec = try await spec()
            let id = try await engine.createContainer(spec)
            let result = await attempt(id, input)
            // In a task of its own, so that cancelling the call does not stop the removal.
            await Task { try? await engine.remove(id) }.value
            return try result.get()
        } catch { throw CommandFailure("\(function.name): \(error)") }
    }

    private func spec() async throws(EngineError) -> ContainerSpec {
        let found = try await newest()
        var spec = ContainerSpec(
            image: found.id, imageUser: found.user, imageVariables: found.variableNames, of: function)
        spec.environment["DCF_ONCE"] = "1"
        spec.environment["DCF_CONFIG"] = OnceCall.configuration(of: function)
        if function.limits.gpu > 0 { spec.gpus = .count(function.limits.gpu) }
        spec.takesInput = true
        spec.keepsLogs = false
        return spec
    }

    /// The image of the last build. Else the image with the name for the registry.
    private func newest() async throws(EngineError) -> EngineImage {
        if let found = try await engine.image("\(image.local)") { return found }
        if image.reference != image.local, let found = try await engine.image("\(image.reference)") { return found }
        throw EngineError(
            .notFound, "there is no image \(image.local); build it with \"dcf function build \(function.name)\"")
    }

    private func attempt(_ id: String, _ input: [UInt8]) async -> Result<Int32, EngineError> {
        await withTaskGroup(of: Result<Int32, EngineError>?.self) { group in
            let attached = AsyncStream<Void>.makeStream()
            group.addTask {
                defer { attached.continuation.finish() }
                do throws(EngineError) {
                    let parts = AsyncStream<[UInt8]> { parts in
                        if !input.isEmpty { parts.yield(input) }
                        parts.finish()
                    }
                    try await engine.attach(id, input: parts, onAttached: { attached.continuation.finish() }) {
                        stream, bytes in
                        if stream == .standardOutput {
                            try? Console.write(bytes)
                        } else {
                            _ = try? FileDescriptor.standardError.writeAll(bytes)
                        }
                    }
                    return nil
                } catch { return .failure(error) }
            }
            for await _ in attached.stream {}
            do throws(EngineError) { try await engine.start(id) } catch {
                group.cancelAll()
                return .failure(error)
            }
            group.addTask {
                do throws(EngineError) {
                    let exit = try await engine.wait(id)
                    guard !exit.isOutOfMemory else {
                        throw EngineError(.failed, "killed by the memory limit: limits.memory is \(memory)")
                    }
                    return .success(exit.status)
                } catch { return .failure(error) }
            }
            var status: Result<Int32, EngineError>?
            for await each in group { status = each ?? status }
            return status ?? .failure(EngineError(.failed, "the engine did not report how the container ended"))
        }
    }

    private var memory: String { function.limits.memory.map { "\($0) bytes" } ?? "what the machine has" }
}
