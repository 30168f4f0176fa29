import Engine
import FunctionConfig
import SystemPackage

/// Builds the image of one function on the Docker engine of this machine.
struct ImageBuild {
    /// How many lines of output a failed build shows when not all lines are shown anyway.
    private static let linesShown = 40

    let function: FunctionConfig
    let directory: FilePath
    let image: FunctionImage
    let engine: Engine
    let isVerbose: Bool
    /// The network of the build steps. Nil selects the engine's default.
    var network = ProcessEnvironment["DOCKER_BUILD_NETWORK"]

    /// - Parameter isFresh: whether to ignore the results of earlier builds.
    func run(isFresh: Bool) async throws(CommandFailure) {
        guard !function.skipBuild else { return }
        try HandlerCheck(function: function, directory: directory).requireFiles()
        let line = ProgressLine()
        defer { line.clear() }
        line.step("\(function.name): packing \(directory)")
        let context = try BuildContext(directory, FunctionTemplate(name: function.name, runtime: function.runtime.name))
        var output: [String] = []
        var step = ""
        do throws(EngineError) {
            _ = try await engine.build(context, bytes: context.size, options(isFresh: isFresh)) { event in
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

    /// Removes the function's images without a name: a new build has taken their names. An image that a gateway keeps
    /// for a version still has a name.
    static func removeReplaced(of function: FunctionName, on engine: Engine) async {
        let replaced = (try? await engine.unnamedImages(labels: [EngineLabel.function: function.text])) ?? []
        for id in replaced { try? await engine.removeImage(id) }
    }

    /// What to do if the engine lacks the watcher's image, the usual reason for a failure at a step with `FROM`. The
    /// engine itself does not name the missing image.
    private func hint(after step: String) async -> String {
        guard let image = Self.watcherImage(in: step, options(isFresh: false).arguments), await isMissing(image) else {
            return ""
        }
        return """
            ; this engine lacks \(image), the watcher's image, which every function's image needs: run "make images" \
            in DCF's own folder, once for each engine; if a registry has the image, name the registry in build_args \
            of the config (REGISTRY=registry.example/dcf)
            """
    }

    private func isMissing(_ image: String) async -> Bool {
        do throws(EngineError) { return try await engine.image(image) == nil } catch { return false }
    }

    /// The watcher's image in a step such as `Step 4/20 : FROM ${REGISTRY}/watcher:${WATCHER_VERSION} as watcher`. Nil
    /// for other steps.
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

    func options(isFresh: Bool) -> BuildOptions {
        var options = BuildOptions(tag: "\(image.local)")
        options.usesCache = !isFresh
        options.labels = [
            EngineLabel.function: function.name.text,
            EngineLabel.image: image.local.tag == nil ? "\(image.local):latest" : "\(image.local)",
        ]
        options.network = network.flatMap { $0.isEmpty ? nil : $0 }
        options.arguments = [
            // The place of the watcher's image. build_args may name another one.
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
