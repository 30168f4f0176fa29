internal import Engine
internal import Environments
internal import FunctionConfig
internal import GRPC

/// Why something about a function cannot be done. The one place where each becomes a status.
enum FunctionError: Error {
    case badName(InvalidFunctionName)
    case badConfig(ConfigError)
    case badArgument(String)
    case alreadyExists(String)
    case notDeployed(CallFailure)
    case traffic(function: String, Traffic.Problem)
    /// There is nothing to go back to.
    case noEarlierVersion(String, current: Int)
    /// Another change of that function is under way.
    case busy(String)
    case draining
    /// Another gateway of the group has deployed it.
    case shared(String, GatewayOwner)
    /// The same, asked for its log.
    case logElsewhere(String, GatewayOwner)
    case bundle(BundleStoreError)
    case registry(RegistryError)
    /// Its row in the registry cannot be used, or its files are gone.
    case damaged(String, version: Int?, String)
    case environment(EnvironmentError)
    /// Its replicas do not get the devices that they need.
    case devices(function: String, GPUShortage, hint: String?)
    case constructor(function: String, ConstructorFailure)
    case container(EngineError)
    case cancelled

    var status: Status {
        switch self {
        case .badName(let error): Self.status(.invalidArgument, "\(error)")
        case .badConfig(let error): Self.status(.invalidArgument, "\(error)")
        case .badArgument(let message): Self.status(.invalidArgument, message)
        case .alreadyExists(let name):
            Self.status(
                .alreadyExists,
                "function \"\(name)\" is deployed already; --update changes it without a break, --replace removes it first"
            )
        case .notDeployed(let failure): failure.status
        case .traffic(let name, let problem):
            Self.status(.invalidArgument, "traffic of function \"\(name)\": \(problem)")
        case .noEarlierVersion(let name, let current):
            Self.status(
                .failedPrecondition,
                "function \"\(name)\" keeps no version before \(current); dcf function versions \(name) shows those it has"
            )
        case .busy(let name):
            Self.status(.aborted, "another change of function \"\(name)\" is under way; try again after it")
        case .draining: CallFailure.draining.status
        case .shared(let name, let owner):
            Self.status(
                .failedPrecondition,
                "function \"\(name)\" belongs to another gateway of the group, \(owner), which alone can change it; ask that one "
                    + "with -g HOST:PORT; \(owner.farewell(of: name))")
        case .logElsewhere(let name, let owner):
            Self.status(
                .failedPrecondition,
                "function \"\(name)\" belongs to another gateway of the group, \(owner), which has its log; ask that one with "
                    + "-g HOST:PORT, or \"docker service logs\" on a manager of the Swarm")
        case .bundle(let error): Self.status(Self.code(error), "\(error)")
        case .registry(let error): Self.status(Self.code(error), "\(error)")
        case .damaged(let name, let version, let problem):
            Self.status(.failedPrecondition, Self.message(name, version: version, damage: problem))
        case .environment(let error):
            Self.status(error.isDiskFull ? .resourceExhausted : .failedPrecondition, "\(error)")
        case .devices(let function, let shortage, let hint):
            Self.status(
                shortage.isPermanent ? .failedPrecondition : .resourceExhausted,
                "function \"\(function)\": \(shortage)\(hint.map { "; \($0)" } ?? "")")
        case .constructor(let function, let failure):
            Self.status(.failedPrecondition, Self.message(function, failure))
        case .container(let error): Self.status(.failedPrecondition, "\(error)")
        case .cancelled: Self.status(.cancelled, "the caller has left; nothing was changed")
        }
    }

    private static func status(_ code: Status.Code, _ message: String) -> Status {
        Status(code, message, metadata: ["dcf-executed": "no"])
    }

    private static func code(_ error: BundleStoreError) -> Status.Code {
        switch error {
        case .badName, .wrongSize, .wrongContent, .bundle: .invalidArgument
        case .tooLarge, .diskFull: .resourceExhausted
        case .unknown: .failedPrecondition
        case .file: .internal
        }
    }

    private static func code(_ error: RegistryError) -> Status.Code {
        switch error {
        case .diskFull: .resourceExhausted
        case .newer, .damaged, .unreadable, .failed: .internal
        }
    }

    /// Lines of a traceback that go along with a status; the whole goes another way.
    private static let tracebackLinesMax = 12

    private static func message(_ function: String, _ failure: ConstructorFailure) -> String {
        var lines = ["function \"\(function)\" did not start: \(failure.summary)"]
        lines += failure.traceback.split(separator: "\n").suffix(tracebackLinesMax).map(String.init)
        guard !failure.lastLines.isEmpty else { return lines.joined(separator: "\n") }
        lines.append("The last that it said (dcf function log \(function) has all):")
        lines += failure.lastLines.map { "  " + $0 }
        return lines.joined(separator: "\n")
    }

    private static func message(_ function: String, version: Int?, damage: String) -> String {
        let subject = version.map { "version \($0) of function \"\(function)\"" } ?? "function \"\(function)\""
        return
            "\(subject) cannot be used: \(damage). Deploy it again with --update, go back with dcf function rollback \(function), "
            + "or stop the gateway and run it once with --rebuild, which knows what was deployed"
    }
}
