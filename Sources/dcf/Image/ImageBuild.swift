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
        var step = ""
        do throws(EngineError) {
            _ = try await engine.build(context, bytes: context.size, options(isAnew: isAnew)) { event in
                if event.text.hasPrefix("Step ") { step = event.text }
                if isVerbose { return line.line(event.line) }
                output.append(event.line)
                if output.count > Self.linesShown { output.removeFirst() }
                if event.text.hasPrefix("Step ") { line.step("\(function.name): \(event.text)") }
            }
        } catch {
            for text in output { line.line(text) }
            throw CommandFailure("\(function.name): \(error)\(await hint(after: step))")
        }
        await Self.removeReplaced(of: function.name, on: engine)
    }

    /// What was called so before has no name any more, unless a gateway keeps it for a version.
    static func removeReplaced(of function: FunctionName, on engine: Engine) async {
        let replaced = (try? await engine.unnamedImages(labels: [ImageLabel.function: function.text])) ?? []
        for id in replaced { try? await engine.removeImage(id) }
    }

    /// An engine does not say which image it lacks; most often it is the watcher's.
    private func hint(after step: String) async -> String {
        guard let image = Self.watcherImage(in: step, options(isAnew: false).arguments), await isMissing(image) else {
            return ""
        }
        return """
            ; this engine has no image \(image), the watcher's, which every image of a function is built with: in DCF's own \
            folder "make images" makes it, once for each engine; where a registry has it, build_args of the config names that \
            (REGISTRY=registry.example/dcf)
            """
    }

    private func isMissing(_ image: String) async -> Bool {
        do throws(EngineError) { return try await engine.image(image) == nil } catch { return false }
    }

    /// The watcher's image, where a step begins with it: `Step 4/20 : FROM ${REGISTRY}/watcher:${WATCHER_VERSION} as watcher`.
    static func watcherImage(in step: String, _ arguments: [String: String]) -> String? {
        let words = step.split(separator: " ")
        guard let from = words.firstIndex(where: { $0.uppercased() == "FROM" }),
            var image = words[(from + 1)...].first(where: { !$0.hasPrefix("--") }).map(String.init)
        else { return nil }
        for (name, value) in arguments {
            image = image.replacing("${\(name)}", with: value)
            image = image.replacing("$\(name)", with: value)
        }
        let path = image.split(separator: "@").first ?? ""
        let name = path.split(separator: "/").last?.prefix { $0 != ":" }
        return name == "watcher" && !image.contains("$") ? image : nil
    }

    func options(isAnew: Bool) -> BuildOptions {
        var options = BuildOptions(tag: "\(image.local)")
        options.usesCache = !isAnew
        options.labels = [
            ImageLabel.function: function.name.text,
            ImageLabel.name: image.local.tag == nil ? "\(image.local):latest" : "\(image.local)",
        ]
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
