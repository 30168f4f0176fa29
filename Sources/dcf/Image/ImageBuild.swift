import Engine
import FunctionConfig
import SystemPackage

/// Builds the image of one function on the Docker engine of this machine.
struct ImageBuild {
    /// Lines of output that are shown where a build fails and not all are shown.
    private static let linesShown = 40

    let function: FunctionConfig
    let directory: FilePath
    let image: FunctionImage
    let engine: Engine
    let isVerbose: Bool
    /// What the steps of the build have for a network; nil is the engine's own.
    var network = ProcessEnvironment["DOCKER_BUILD_NETWORK"]

    /// - Parameter isAnew: takes no step that was made before.
    func run(isAnew: Bool) async throws(CommandFailure) {
        guard !function.skipBuild else { return }
        try HandlerCheck(function: function, directory: directory).requireFiles()
        let line = ProgressLine()
        defer { line.clear() }
        line.step("\(function.name): packing \(directory)")
        let context = try BuildContext(directory, FunctionTemplate(name: function.name, runtime: function.runtime.name))
        var output: [String] = []
        do throws(EngineError) {
            _ = try await engine.build(context, bytes: context.size, options(isAnew: isAnew)) { event in
                if isVerbose { return line.line(event.line) }
                output.append(event.line)
                if output.count > Self.linesShown { output.removeFirst() }
                if event.text.hasPrefix("Step ") { line.step("\(function.name): \(event.text)") }
            }
        } catch {
            for text in output { line.line(text) }
            throw CommandFailure("\(function.name): \(error)")
        }
    }

    func options(isAnew: Bool) -> BuildOptions {
        var options = BuildOptions(tag: "\(image.reference)")
        options.usesCache = !isAnew
        options.network = network.flatMap { $0.isEmpty ? nil : $0 }
        options.arguments = [
            // Where the watcher's image is; build_args may name another place.
            "REGISTRY": FunctionTemplate.watcherRegistry, "WATCHER_VERSION": Release.version,
            "handler_file": function.handler.file, "handler_name": function.handler.name,
        ]
        if !function.buildPackages.isEmpty {
            options.arguments["BUILD_PACKAGES"] = function.buildPackages.joined(separator: " ")
        }
        for argument in function.buildArguments { options.arguments[argument.name] = argument.value }
        return options
    }
}
