import Engine
import FunctionConfig
import GRPC
import GatewayProtocol
import Platform
import SystemPackage

/// Deploys functions one after another, and waits for each until it is Ready. Packs and uploads a folder, or pushes an
/// image to its registry.
struct Deployment {
    let client: GatewayClient
    let existing: Pb_Existing
    let isVerbose: Bool
    let kinds: DeployKinds
    /// Replaces the config's `docker_registry`.
    let registry: String?
    /// Whether images are built first.
    let builds: Bool

    /// Throws at the first function that cannot be deployed. The functions before it stay deployed.
    func deploy(_ functions: [FunctionConfig], of config: LoadedConfig) async throws(CommandFailure) {
        let line = ProgressLine()
        for function in functions {
            defer { line.clear() }
            switch kinds[function] {
            case .process:
                let process = function.asProcess().function
                try await deploy(config.withFullPath(process), from: config.directory(of: function), line)
            case .image: try await deployImage(of: function, from: config.directory(of: function), line)
            }
        }
    }

    private func deploy(
        _ function: FunctionConfig, from directory: FilePath, _ line: ProgressLine
    ) async throws(CommandFailure) {
        line.step("\(function.name): packing \(directory)")
        if let file = HandlerCheck.hidden(in: directory) {
            line.line(
                "\(function.name): \(file) can never be imported, because dcf is the framework's module; rename it")
        }
        let bundle = try PackedFolder(directory)
        var request = request(for: function)
        request.deploy = .asProcess
        request.bundle = bundle.sha256
        try await finish(request, function, directory, line) { () throws(Status) in
            try await BundleUpload(bundle: bundle, client: client).send { line.step("\(function.name): \($0)") }
        }
    }

    private func deployImage(
        of function: FunctionConfig, from directory: FilePath, _ line: ProgressLine
    ) async throws(CommandFailure) {
        let image = try FunctionImage(function, registry: registry)
        var request = request(for: function)
        request.deploy = .asImage
        request.image = "\(image.isPushed ? image.reference : image.local)"
        let credentials =
            image.isPushed ? try await RegistryLogin.credentials(for: image.reference.registry) : nil
        // An image that is already in a registry needs no engine here.
        let isSent = image.isPushed && !function.skipBuild
        if isSent || (builds && !function.skipBuild) {
            let pinned = try await DockerEngine.use { engine throws(CommandFailure) -> ImageReference? in
                if builds {
                    try await ImageBuild(
                        function: function, directory: directory, image: image, engine: engine, isVerbose: isVerbose
                    ).run(isFresh: false)
                }
                guard isSent else { return nil }
                let pinned = try await ImagePush(
                    image: image, engine: engine, credentials: credentials, isVerbose: isVerbose
                ).run(line, function: function.name)
                // The push has taken the registry's name from the image that had it before.
                if builds { await ImageBuild.removeReplaced(of: function.name, on: engine) }
                return pinned
            }
            if let pinned { request.image = "\(pinned)" }
        }
        request.registryAuth = credentials?.header ?? ""
        try await finish(request, function, directory, line) { () throws(Status) in }
    }

    /// Runs `prepare`, sends the request, and waits for the result.
    private func finish(
        _ request: Pb_CreateFunctionRequest, _ function: FunctionConfig, _ directory: FilePath, _ line: ProgressLine,
        after prepare: () async throws(Status) -> Void
    ) async throws(CommandFailure) {
        var printer = DeployEventPrinter(
            function: request.service, directory: directory, isVerbose: isVerbose, line: line)
        let done: Pb_Function
        do throws(Status) {
            try await prepare()
            done = try await watch(request, &printer)
        } catch {
            line.clear()
            throw client.failure(error, deploying: function)
        }
        line.clear()
        Console.note("\(function.name): \(done.status.isEmpty ? "Ready" : done.status)")
    }

    private func watch(
        _ request: Pb_CreateFunctionRequest, _ printer: inout DeployEventPrinter
    ) async throws(Status) -> Pb_Function {
        let call = try client.channel.call(GatewayMethod.deployWatch.path)
        try await call.send(try GatewayClient.bytes(of: request))
        try await call.closeSend()
        var done: Pb_Function?
        do throws(Status) {
            while let bytes = try await call.receive() {
                done = printer.show(try GatewayClient.message(from: bytes)) ?? done
            }
        } catch {
            throw Status(error.code, printer.withoutShownTracebacks(error.message), metadata: error.metadata)
        }
        guard let done else {
            throw Status(.internal, "the gateway ended the deploy without a result; see dcf function info")
        }
        return done
    }

    private func request(for function: FunctionConfig) -> Pb_CreateFunctionRequest {
        var request = Pb_CreateFunctionRequest()
        request.service = function.name.text
        request.image = function.image
        for variable in function.environment { request.envVars[variable.name] = variable.value }
        request.minReplicas = Int32(clamping: function.replicas.min)
        request.maxReplicas = Int32(clamping: function.replicas.max)
        request.config = function.yaml
        request.ifExists = existing
        return request
    }
}

extension GatewayClient {
    /// The error text for a status of a deploy.
    fileprivate func failure(_ status: Status, deploying function: FunctionConfig) -> CommandFailure {
        guard status.code == .alreadyExists, !status.message.contains("--update") else { return failure(status) }
        return CommandFailure("\(status); deploy with --update to change it, or with --replace to remove it first")
    }
}
