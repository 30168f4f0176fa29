import Environments
import FunctionConfig
import Glibc
import SystemPackage

/// One call of a function in a watcher, without a gateway, from standard input to standard output.
struct OnceCall {
    let function: FunctionConfig
    let directory: FilePath
    /// The path of the interpreter to run on.
    let python: String

    /// Replaces this process with the watcher. Throws if that fails, and never returns otherwise.
    func replaceThisProcess(by watcher: FilePath) throws(CommandFailure) {
        let folder = directory.real.string
        guard chdir(folder) == 0 else {
            throw CommandFailure("cannot enter \(directory): \(Errno(rawValue: errno))")
        }
        let arguments = [watcher.string, "--once", "--python", python]
        let variables = variables(inherited: EnvironmentVariables.ours(), folder: folder)
        withCStrings(arguments) { arguments in
            withCStrings(variables.map { "\($0.key)=\($0.value)" }.sorted()) { variables in
                _ = execve(watcher.string, arguments, variables)
            }
        }
        throw CommandFailure("cannot start \(watcher): \(Errno(rawValue: errno))")
    }

    /// The variables for the watcher: the same as a gateway sets, so that a trial behaves like a deployed function.
    func variables(inherited: [String: String], folder: String) -> [String: String] {
        var variables = inherited.filter { EnvironmentVariables.passToFunctions($0.key) }
        if let cpus = function.limits.wholeCPUs { variables["OMP_NUM_THREADS"] = "\(cpus)" }
        for variable in function.environment { variables[variable.name] = variable.value }
        variables["HANDLER_DIR"] = folder
        variables["HANDLER_FILE"] = function.handler.file
        variables["HANDLER_NAME"] = function.handler.name
        variables["DCF_CONFIG"] = Self.configuration(of: function)
        return variables
    }

    /// The settings of the function as JSON, as a gateway sends them in its Welcome.
    static func configuration(of function: FunctionConfig) -> String {
        let memory = function.limits.memory.map { String($0) } ?? "null"
        let cpu = function.limits.cpu.map { String($0) } ?? "null"
        let batch = function.batch.map { "{\"max_size\":\($0.sizeMax),\"retry\":\($0.retry)}" } ?? "null"
        return """
            {"name":"\(function.name)","version":0,"parameters":\(function.parameters),\
            "timeout":{"call":\((function.timeout.call ?? TimeoutConfig.callDefault).seconds),"start":\((function.timeout.start ?? TimeoutConfig.startDefault).seconds)},\
            "limits":{"memory":\(memory),"cpu":\(cpu),"gpu":\(function.limits.gpu)},"batch":\(batch),\
            "warmup":\(warmup(of: function))}
            """
    }

    private static func warmup(of function: FunctionConfig) -> String {
        switch function.warmup {
        case .input(let text): "{\"input\":\(text.asJSONString)}"
        case .file(let path): "{\"file\":\(path.asJSONString)}"
        case nil: "null"
        }
    }

    /// Runs `body` with a NULL-terminated array of C strings, valid only during `body`.
    private func withCStrings(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Void) {
        let pointers = strings.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        body(pointers + [nil])
    }
}

extension Duration {
    fileprivate var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
