internal import Calls
internal import Engine
internal import Environments
internal import FunctionConfig
internal import Platform

/// Why a request about a function fails. This is the one place where each reason gets a status code and a message.
enum FunctionError: Error {
    case badName(InvalidFunctionName)
    case badConfig(ConfigError)
    case badArgument(String)
    case alreadyExists(String)
    case notDeployed(CallFailure)
    case traffic(function: String, Traffic.Problem)
    /// A rollback finds no earlier version.
    case noEarlierVersion(String, current: Int)
    /// Another change of the function is under way.
    case busy(String)
    case draining
    /// Another gateway of the group has deployed it.
    case shared(String, GatewayOwner)
    /// The log of a function that another gateway of the group has deployed.
    case logElsewhere(String, GatewayOwner)
    case bundle(BundleStoreError)
    case registry(RegistryError)
    /// The function's row in the registry cannot be used, or its files are gone.
    case damaged(String, version: Int?, String)
    case environment(EnvironmentError)
    /// The replicas cannot have the devices that they need.
    case devices(function: String, GPUShortage, hint: String?)
    case constructor(function: String, ConstructorFailure)
    case container(EngineError)
    case cancelled

    var failure: CallFailure {
        switch self {
        case .badName(let error): Self.failure(.invalidArgument, "\(error)")
        case .badConfig(let error): Self.failure(.invalidArgument, "\(error)")
        case .badArgument(let message): Self.failure(.invalidArgument, message)
        case .alreadyExists(let name):
            Self.failure(
                .alreadyExists,
                "function \"\(name)\" is deployed already; --update changes it without a break, --replace removes it first"
            )
        case .notDeployed(let failure): failure
        case .traffic(let name, let problem):
            Self.failure(.invalidArgument, "traffic of function \"\(name)\": \(problem)")
        case .noEarlierVersion(let name, let current):
            Self.failure(
                .failedPrecondition,
                "function \"\(name)\" keeps no version before \(current); dcf function versions \(name) shows those it has"
            )
        case .busy(let name):
            Self.failure(.aborted, "another change of function \"\(name)\" is under way; try again after it")
        case .draining: .draining
        case .shared(let name, let owner):
            Self.failure(
                .failedPrecondition,
                "function \"\(name)\" belongs to another gateway of the group, \(owner), and only that gateway can change it; use "
                    + "-g HOST:PORT; \(owner.cleanUpHint(for: name))")
        case .logElsewhere(let name, let owner):
            Self.failure(
                .failedPrecondition,
                "function \"\(name)\" belongs to another gateway of the group, \(owner), which has its log; use -g HOST:PORT, "
                    + "or \"docker service logs\" on a manager of the Swarm")
        case .bundle(let error): Self.failure(Self.code(error), "\(error)")
        case .registry(let error): Self.failure(Self.code(error), "\(error)")
        case .damaged(let name, let version, let problem):
            Self.failure(.failedPrecondition, Self.message(name, version: version, damage: problem))
        case .environment(let error):
            Self.failure(error.isDiskFull ? .resourceExhausted : .failedPrecondition, "\(error)")
        case .devices(let function, let shortage, let hint):
            Self.failure(
                shortage.isPermanent ? .failedPrecondition : .resourceExhausted,
                "function \"\(function)\": \(shortage)\(hint.map { "; \($0)" } ?? "")")
        case .constructor(let function, let failure):
            Self.failure(.failedPrecondition, Self.message(function, failure))
        case .container(let error): Self.failure(.failedPrecondition, "\(error)")
        case .cancelled: Self.failure(.cancelled, "the caller has left; nothing was changed")
        }
    }

    private static func failure(_ code: StatusCode, _ message: String) -> CallFailure {
        CallFailure(code, executed: .no, message)
    }

    private static func code(_ error: BundleStoreError) -> StatusCode {
        switch error {
        case .badName, .wrongSize, .wrongContent, .bundle: .invalidArgument
        case .tooLarge, .diskFull: .resourceExhausted
        case .unknown: .failedPrecondition
        case .file: .internal
        }
    }

    private static func code(_ error: RegistryError) -> StatusCode {
        switch error {
        case .diskFull: .resourceExhausted
        case .newer, .damaged, .unreadable, .failed: .internal
        }
    }

    /// How many lines of a traceback are part of a status. The whole traceback is sent as an event.
    private static let tracebackLinesMax = 12

    private static func message(_ function: String, _ failure: ConstructorFailure) -> String {
        var lines = ["function \"\(function)\" did not start: \(failure.summary)"]
        lines += failure.traceback.split(separator: "\n").suffix(tracebackLinesMax).map(String.init)
        guard !failure.lastLines.isEmpty else { return lines.joined(separator: "\n") }
        lines.append("The last lines that it wrote (dcf function log \(function) shows all):")
        lines += failure.lastLines.map { "  " + $0 }
        return lines.joined(separator: "\n")
    }

    private static func message(_ function: String, version: Int?, damage: String) -> String {
        let subject = version.map { "version \($0) of function \"\(function)\"" } ?? "function \"\(function)\""
        return
            "\(subject) cannot be used: \(damage). Deploy it again with --update, go back with dcf function rollback \(function), "
            + "or stop the gateway and run it once with --rebuild, which restores what was deployed"
    }
}

/// Runs `work` and turns its error into the failure that a caller is told.
func telling<Value>(_ work: () async throws(FunctionError) -> Value) async throws(CallFailure) -> Value {
    do throws(FunctionError) { return try await work() } catch { throw error.failure }
}
