/// Why the launcher cannot run the program that it was asked for. The exit statuses are those of sysexits.h.
enum LaunchError: Error {
    case usage(String)
    /// The parent ended before this process could tie itself to it.
    case orphaned
    case libraryMissing([String])
    /// `exec` failed; the second value is errno's text.
    case notRunnable(String, String)
    case pythonNotRunnable(String, String)
    /// No gateway started this container.
    case noGateway
    /// The container has the gateway's address but no token.
    case noToken
    /// The list of gateways is not valid, the file with the token cannot be read, or there is no socket for the relay.
    case relay(String)
    /// The image has no interpreter: its name, and the PATH.
    case noPython(String, String)

    var exitStatus: Int32 {
        switch self {
        case .usage: 64
        case .orphaned, .libraryMissing, .pythonNotRunnable, .relay: 69
        case .notRunnable: 127
        case .noGateway, .noToken, .noPython: 1
        }
    }

    var message: String {
        switch self {
        case .usage(let reason): "\(reason)\n\(Arguments.usage)"
        case .orphaned: "the process that started it has already ended"
        case .libraryMissing(let places):
            "libPythonWatcher.so is missing: neither \(places.joined(separator: " nor ")) is there; install dcf again"
        case .notRunnable(let command, let reason): "\(command) cannot be started: \(reason)"
        case .pythonNotRunnable(let path, let reason):
            "the interpreter \(path) cannot be started: \(reason); see the function's python key"
        case .noGateway:
            """
            DCF_LINK is not set: this is the image of a function, which a gateway starts \
            (dcf function deploy); to try it here: dcf function run
            """
        case .noToken:
            """
            DCF_TOKEN is not set, and neither is DCF_TOKEN_FILE: DCF_LINK says where the gateway is, and the token \
            identifies this replica; the gateway that starts a container sets both
            """
        case .relay(let reason): reason
        case .noPython(let name, let places):
            """
            there is no \(name) in this image (PATH is \(places)): \
            a function's image is built on one that has Python 3.9 or later
            """
        }
    }
}
