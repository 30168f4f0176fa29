internal import FunctionConfig

/// A limit on the command line, `--limit NAME=VALUE`: its name, its meaning, and how it is read and set in `Limits`.
package struct NamedLimit<Limits: Sendable>: Sendable {
    package let name: String
    package let meaning: String
    private let get: @Sendable (Limits) -> String
    private let set: @Sendable (inout Limits, String) -> Bool

    /// The limit's value in `limits`, as text that `assign` accepts.
    package func value(in limits: Limits) -> String { get(limits) }

    /// - Returns: false where the text is not such a value; then `limits` is unchanged.
    package func assign(_ text: String, in limits: inout Limits) -> Bool { set(&limits, text) }

    /// This limit in a type that holds these limits among others.
    package func within<Whole: Sendable>(
        _ path: any WritableKeyPath<Whole, Limits> & Sendable
    ) -> NamedLimit<Whole> {
        NamedLimit<Whole>(
            name: name, meaning: meaning, get: { [get] in get($0[keyPath: path]) },
            set: { [set] in set(&$0[keyPath: path], $1) })
    }

    /// A number of things, 1 or more.
    package static func count(
        _ name: String, _ meaning: String, _ path: any WritableKeyPath<Limits, Int> & Sendable
    ) -> NamedLimit {
        NamedLimit(name: name, meaning: meaning, get: { "\($0[keyPath: path])" }) { limits, text in
            guard let value = Int(text), value >= 1 else { return false }
            limits[keyPath: path] = value
            return true
        }
    }

    /// Bytes, 1 or more.
    package static func size(
        _ name: String, _ meaning: String, _ path: any WritableKeyPath<Limits, Int> & Sendable
    ) -> NamedLimit {
        NamedLimit(name: name, meaning: meaning, get: { text(bytes: $0[keyPath: path]) }) { limits, text in
            guard let bytes = ByteSize.bytes(of: text), let value = Int(exactly: bytes), value >= 1 else {
                return false
            }
            limits[keyPath: path] = value
            return true
        }
    }

    /// A size such as `64MiB`; the plain number where that would not be exact.
    private static func text(bytes: Int) -> String {
        let text = ByteSize.text(UInt64(bytes)).filter { $0 != " " }
        return ByteSize.bytes(of: text) == UInt64(bytes) ? text : "\(bytes)"
    }

    /// A duration.
    ///
    /// - Parameter orZero: whether zero is a value, too.
    package static func duration(
        _ name: String, _ meaning: String, _ path: any WritableKeyPath<Limits, Duration> & Sendable,
        orZero: Bool = false
    ) -> NamedLimit {
        NamedLimit(name: name, meaning: meaning, get: { $0[keyPath: path].text }) { limits, text in
            guard let value = Duration(text: text), value > .zero || orZero else { return false }
            limits[keyPath: path] = value
            return true
        }
    }
}

extension Limits {
    /// All limits of calls and functions, in the order of the documentation.
    package static let named: [NamedLimit<Limits>] = [
        .size("message", "the largest input or reply", \.messageBytes),
        .size("metadata", "the most metadata of a call", \.metadataBytes),
        .count("queue", "waiting calls of a function, unless its config says otherwise", \.queue),
        .size("queued-bytes", "inputs of all waiting calls together", \.queuedBytes),
        .count("chain-depth", "functions that may wait for one another's replies", \.chainDepth),
        .duration(
            "call-timeout", "the longest a call may take, unless the config says otherwise", \.callTimeout),
        .duration(
            "start-timeout", "the longest a constructor may take, unless the config says otherwise",
            \.startTimeout),
        .duration(
            "build-timeout", "the longest the build of an environment may take, unless the config says otherwise",
            \.buildTimeout),
        .duration(
            "idle", "how long a function of min 0 may be without calls, unless the config says otherwise",
            \.idleTimeout),
        .duration(
            "scale-down-window", "how long the load must have been lower before there are fewer replicas",
            \.scaleDownWindow),
        .count("versions", "versions of a function that are kept", \.versions),
        .duration(
            "lame-duck", "how long calls are still taken at a stop, while health says NOT_SERVING", \.lameDuck,
            orZero: true),
        .count(
            "starts", "constructors that run at once; as many as there are processors, unless it is set",
            \.starts),
        .duration("drain", "how long accepted calls may go on at a stop", \.drain),
        .duration("stop", "how long a process may take to end before it is killed", \.stop),
        .duration(
            "overrun-grace", "how long a handler may overrun timeout.call before its replica is killed",
            \.overrunGrace),
        .size("log-line", "the longest line of a log; a longer one is cut", \.logLineBytes),
        .size("log-file", "the size of one of a log's files", \.logFileBytes),
        .count("log-files", "the most files of a log", \.logFiles),
        .size("log-rate", "the most bytes that a log takes in a second; more are dropped", \.logRateBytes),
        .size("log-queue", "lines of a function that wait for the disk; more are dropped", \.logQueueBytes),
        .count("log-writers", "how many functions' logs are written at a time", \.logWriters),
        .size(
            "own-log-queue", "lines of the gateway's own log that wait for standard error", \.ownLogQueueBytes),
        .duration("log-flush", "how long logs may take to be written at a stop", \.logFlush),
        .duration(
            "stall-timeout", "how long a part of the gateway may be stuck before health says NOT_SERVING",
            \.stallTimeout),
        .duration(
            "log-kept", "how long the log of a function that is not deployed is kept", \.logKept),
        .size("bundle", "a bundle's size", \.bundleBytes),
        .count("bundle-files", "files in a bundle", \.bundleFiles),
        .duration("uploads-unused", "how long an uploaded bundle that is not deployed is kept", \.uploadsUnused),
        .duration(
            "environments-unused", "how long an environment is kept that no kept version needs",
            \.environmentsUnused),
    ]
}
