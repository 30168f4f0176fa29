import FunctionConfig
import GRPC
import GatewayProtocol
import SystemPackage

/// Deploys functions one after another: packs each folder, uploads it, and follows the gateway until it is Ready.
struct Deployment {
    let client: GatewayClient
    let existing: Pb_Existing
    let isVerbose: Bool

    /// Throws at the first function that cannot be deployed; those before it stay.
    func deploy(_ functions: [FunctionConfig], of config: LoadedConfig) async throws(CommandFailure) {
        let line = ProgressLine()
        for function in functions {
            defer { line.clear() }
            try await deploy(config.withFullPath(function), from: config.directory(of: function), line)
        }
    }

    private func deploy(
        _ function: FunctionConfig, from directory: FilePath, _ line: ProgressLine
    ) async throws(CommandFailure) {
        line.step("\(function.name): packing \(directory)")
        let bundle = try PackedFolder(directory)
        let done: Pb_Function
        do throws(Status) {
            try await BundleUpload(bundle: bundle, client: client).send { line.step("\(function.name): \($0)") }
            done = try await watch(Self.request(for: function, bundle: bundle, existing), line)
        } catch {
            line.clear()
            throw client.failure(error, deploying: function)
        }
        line.clear()
        Console.note("\(function.name): \(done.status.isEmpty ? "Ready" : done.status)")
    }

    private func watch(_ request: Pb_CreateFunctionRequest, _ line: ProgressLine) async throws(Status) -> Pb_Function {
        let progress = DeployProgress(function: request.service, isVerbose: isVerbose, line: line)
        let call = try client.channel.call(GatewayMethod.deployWatch)
        try await call.send(try GatewayClient.bytes(of: request))
        try await call.closeSend()
        var done: Pb_Function?
        while let bytes = try await call.receive() {
            done = progress.show(try GatewayClient.message(from: bytes)) ?? done
        }
        guard let done else {
            throw Status(.internal, "the gateway ended the deploy without saying how it went")
        }
        return done
    }

    private static func request(
        for function: FunctionConfig, bundle: PackedFolder, _ existing: Pb_Existing
    ) -> Pb_CreateFunctionRequest {
        var request = Pb_CreateFunctionRequest()
        request.service = function.name.text
        request.image = function.image
        for variable in function.environment { request.envVars[variable.name] = variable.value }
        request.minReplicas = Int32(clamping: function.replicas.min)
        request.maxReplicas = Int32(clamping: function.replicas.max)
        request.bundle = bundle.sha256
        request.config = function.yaml
        request.ifExists = existing
        return request
    }
}

extension GatewayClient {
    /// As `failure`, for a deploy.
    fileprivate func failure(_ status: Status, deploying function: FunctionConfig) -> CommandFailure {
        guard status.code == .alreadyExists, !status.message.contains("--update") else { return failure(status) }
        return CommandFailure("\(status); deploy with --update to change it, or with --replace to begin anew")
    }
}
