internal import FunctionConfig
internal import GRPC

extension Limits {
    /// A limit as the command line knows it.
    package struct Named: Sendable {
        package let name: String
        package let meaning: String
        fileprivate let get: @Sendable (Limits) -> String
        fileprivate let set: @Sendable (inout Limits, String) -> Bool

        /// Its value in `limits`, as text that can be given back.
        package func value(in limits: Limits) -> String { get(limits) }

        fileprivate func assign(_ text: String, in limits: inout Limits) -> Bool { set(&limits, text) }
    }

    /// A limit that cannot be set so.
    package enum NamedError: Error, Equatable, CustomStringConvertible {
        case unknown(String, nearest: String?)
        case badValue(name: String, value: String, expected: String)
        case noValue(String)

        package var description: String {
            switch self {
            case .unknown(let name, let nearest):
                "unknown limit \"\(name)\"" + (nearest.map { "; did you mean \"\($0)\"?" } ?? "")
                    + "; --limits lists them"
            case .badValue(let name, let value, let expected):
                "limit \(name): \"\(value)\" is not \(expected)"
            case .noValue(let text): "\"\(text)\" is not NAME=VALUE"
            }
        }
    }

    /// All of them, in the order of the documents.
    package static let named: [Named] = [
        size("message", "the largest input or reply", \.messageBytes),
        size("metadata", "the most metadata of a call", \.metadataBytes),
        count("streams", "calls at a time on one connection", \.streams),
        count("descriptor-reserve", "descriptors kept for what is not a connection", \.descriptorReserve),
        count("descriptors", "the highest descriptor number a connection may get", \.descriptors),
        size("memory-quota", "what the gRPC core may hold for all connections", \.memoryQuotaBytes),
        count("connections-per-address", "connections of one address, loopback excepted", \.connections.perAddress),
        size("reply-bytes", "replies that clients have not taken, all together", \.connections.replyBytes),
        size(
            "reply-bytes-per-connection", "replies that one connection has not taken",
            \.connections.replyBytesPerConnection),
        size(
            "input-bytes", "inputs that have begun to come, all together, by the sizes they say",
            \.connections.inputBytes),
        size("input-bytes-per-connection", "the same of one connection", \.connections.inputBytesPerConnection),
        duration("stall", "how long a connection may keep these from others and make no progress", \.connections.stall),
        count(
            "h2-unacked-streams", "streams before the client acknowledges the settings",
            \.connections.frames.unackedStreams),
        count("h2-resets", "streams that a client may reset at once, and then a second", \.connections.frames.resets),
        count("h2-continuations", "CONTINUATION frames of a header block", \.connections.frames.continuations),
        size("h2-header-bytes", "a header block", \.connections.frames.headerBytes),
        count(
            "h2-empty-data", "DATA frames of next to nothing at once, a tenth of them a second afterwards",
            \.connections.frames.emptyData),
        count(
            "h2-control",
            "PING and PRIORITY frames at once, a tenth of them a second afterwards; a tenth as many SETTINGS, ten times as "
                + "many small WINDOW_UPDATE", \.connections.frames.control),
        count("queue", "waiting calls of a function, unless its config says otherwise", \.queue),
        size("queued-bytes", "inputs of all waiting calls together", \.queuedBytes),
        count("chain-depth", "functions that may wait for one another's replies", \.chainDepth),
        duration("call-timeout", "the longest a call may take, unless the config says otherwise", \.callTimeout),
        duration(
            "start-timeout", "the longest a constructor may take, unless the config says otherwise", \.startTimeout),
        duration(
            "build-timeout", "the longest an environment's build may take, unless the config says otherwise",
            \.buildTimeout),
        duration(
            "idle", "how long a function of min 0 may be without calls, unless the config says otherwise",
            \.idleTimeout),
        duration(
            "scale-down-window", "how long the load must have been lower before there are fewer replicas",
            \.scaleDownWindow),
        count("versions", "versions of a function that are kept", \.versions),
        duration(
            "lame-duck", "how long calls are still taken at a stop, while health says NOT_SERVING", \.lameDuck,
            orZero: true),
        count("starts", "constructors that run at once; as many as processors, unless it is set", \.starts),
        duration("drain", "how long accepted calls may go on at a stop", \.drain),
        duration("stop", "how long a process may take to end before it is killed", \.stop),
        duration(
            "overrun-grace", "how long a handler may overrun timeout.call before its replica is killed", \.overrunGrace),
        duration("preface-timeout", "how long a connection may take to begin HTTP/2", \.prefaceTimeout),
        size("log-line", "a longer line of a log is cut", \.logLineBytes),
        size("log-file", "the size of one of a log's files", \.logFileBytes),
        count("log-files", "the files of a log together", \.logFiles),
        size("log-rate", "what comes faster into a log in a second is dropped", \.logRateBytes),
        size("log-queue", "lines of a function that wait for the disk; more are dropped", \.logQueueBytes),
        count("log-writers", "functions' logs that are written at a time", \.logWriters),
        size("own-log-queue", "the gateway's own lines that wait for standard error", \.ownLogQueueBytes),
        duration("log-flush", "how long logs may take to be written at a stop", \.logFlush),
        duration("stall-timeout", "how long what must move may stand still before health says so", \.stallTimeout),
        duration(
            "log-kept", "how long the log of a function that is not deployed is kept", \.logKept),
        size("bundle", "a bundle's size", \.bundleBytes),
        count("bundle-files", "files in a bundle", \.bundleFiles),
        duration("uploads-unused", "how long an uploaded bundle that is not deployed is kept", \.uploadsUnused),
        duration(
            "environments-unused", "how long an environment that no kept version needs is kept", \.environmentsUnused),
    ]

    /// Sets one limit from `NAME=VALUE`.
    package mutating func set(_ assignment: String) throws(NamedError) {
        guard let equals = assignment.firstIndex(of: "=") else { throw .noValue(assignment) }
        let name = String(assignment[..<equals])
        let value = String(assignment[assignment.index(after: equals)...])
        guard let limit = Self.named.first(where: { $0.name == name }) else {
            throw .unknown(name, nearest: Suggestion.nearest(to: name, among: Self.named.map(\.name)))
        }
        guard limit.assign(value, in: &self) else {
            throw .badValue(name: name, value: value, expected: "like \(limit.value(in: Limits()))")
        }
    }

    private static func count(
        _ name: String, _ meaning: String, _ path: any WritableKeyPath<Limits, Int> & Sendable
    ) -> Named {
        Named(name: name, meaning: meaning, get: { "\($0[keyPath: path])" }) { limits, text in
            guard let value = Int(text), value >= 1 else { return false }
            limits[keyPath: path] = value
            return true
        }
    }

    private static func size(
        _ name: String, _ meaning: String, _ path: any WritableKeyPath<Limits, Int> & Sendable
    ) -> Named {
        Named(name: name, meaning: meaning, get: { text(bytes: $0[keyPath: path]) }) {
            limits, text in
            guard let bytes = ByteSize.bytes(of: text), let value = Int(exactly: bytes), value >= 1 else {
                return false
            }
            limits[keyPath: path] = value
            return true
        }
    }

    /// `64MiB`, or the plain number where that would not be exact.
    private static func text(bytes: Int) -> String {
        let text = ByteSize.text(UInt64(bytes)).filter { $0 != " " }
        return ByteSize.bytes(of: text) == UInt64(bytes) ? text : "\(bytes)"
    }

    private static func duration(
        _ name: String, _ meaning: String, _ path: any WritableKeyPath<Limits, Duration> & Sendable,
        orZero: Bool = false
    ) -> Named {
        Named(name: name, meaning: meaning, get: { $0[keyPath: path].text }) { limits, text in
            guard let value = Duration(text: text), value > .zero || orZero else { return false }
            limits[keyPath: path] = value
            return true
        }
    }
}
