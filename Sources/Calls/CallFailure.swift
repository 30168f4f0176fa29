package import Platform

/// Why a call has no reply. This is the one place that gives each situation its status code and its sentence.
///
/// Every failure says whether the handler ran. A caller may repeat a call that was not executed. A call that may have
/// been executed is marked, so that clients do not repeat it on their own.
package struct CallFailure: Error, Sendable, Equatable {
    /// Whether the handler ran.
    package enum Executed: String, Sendable {
        case no, maybe, yes
    }

    /// What happened, where the status code alone does not tell it to a front that has a status of its own for it.
    package enum Cause: Sendable {
        case inputTooLarge, metadataTooLarge, replyTooLarge, unknownCoding, unknownExpectation
        /// The function does not run, and will not without a change.
        case functionFailed
        case other
    }

    package var code: StatusCode
    package var executed: Executed
    package var cause: Cause
    package var message: String
    /// After how many milliseconds a client may try again. A negative value tells it not to try again on its own; with
    /// nil the client decides.
    package var retryPushbackMillis: Int?
    /// The metadata that the handler set for its caller.
    package var metadata: ReplyMetadata

    package init(
        _ code: StatusCode, executed: Executed, _ message: String, retryPushbackMillis: Int? = nil,
        metadata: ReplyMetadata = ReplyMetadata(), cause: Cause = .other
    ) {
        self.code = code
        self.executed = executed
        self.cause = cause
        self.message = message
        self.retryPushbackMillis = retryPushbackMillis
        self.metadata = metadata
    }

    /// How long a caller is asked to wait when a queue is full.
    package static let queuePushbackMillis = 100

    package static func unknownFunction(_ name: String, nearest: String?) -> CallFailure {
        let hint = nearest.map { "did you mean \"\($0)\"?" } ?? "dcf function list shows what is"
        return CallFailure(.notFound, executed: .no, "function \"\(name)\" is not deployed; \(hint)")
    }

    /// - Parameter text: the part of the name after the `@`.
    package static func unknownVersion(_ text: String, of name: String, kept: [Int]) -> CallFailure {
        let versions = kept.map { "\($0)" }.joined(separator: ", ")
        guard let version = Int(text), version > 0, "\(version)" == text else {
            return CallFailure(
                .invalidArgument, executed: .no,
                "\"\(text.prefix(32))\" is not a version of \"\(name)\"; a version is a number, for example "
                    + "\(name)@\(kept.last ?? 1)"
            )
        }
        return CallFailure(
            .notFound, executed: .no, "function \"\(name)\" has no version \(version); kept: \(versions)")
    }

    package static func inputTooLarge(_ bytes: Int, limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no, "the input has \(bytes) bytes, the limit is \(limit) (message)",
            cause: .inputTooLarge)
    }

    package static func metadataTooLarge(_ bytes: Int, limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no,
            "the call's metadata has \(bytes) bytes, with 32 for each pair; the limit is \(limit) (metadata)",
            cause: .metadataTooLarge)
    }

    package static func queueFull(_ function: String, bound: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no, "\(bound) calls of \"\(function)\" wait already (queue)",
            retryPushbackMillis: queuePushbackMillis)
    }

    package static func queuedBytesFull(limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no, "the inputs of all waiting calls have \(limit) bytes (queued-bytes)",
            retryPushbackMillis: queuePushbackMillis)
    }

    /// - Parameter shortage: why there was no replica, where that is known.
    package static func deadlinePassed(
        executed: Executed, because shortage: String? = nil
    ) -> CallFailure {
        CallFailure(
            .deadlineExceeded, executed: executed,
            executed == .no
                ? "the call's time was up before a replica was free\(shortage.map { ": \($0)" } ?? "")"
                : "the call's time was up while a replica had it")
    }

    package static func cancelled(executed: Executed) -> CallFailure {
        CallFailure(.cancelled, executed: executed, "the caller has left")
    }

    package static func watcherDied(_ function: String, how: String) -> CallFailure {
        CallFailure(
            .unavailable, executed: .maybe, "the process of \"\(function)\" ended during the call: \(how)",
            retryPushbackMillis: -1)
    }

    package static func functionFailed(_ function: String, reason: String) -> CallFailure {
        CallFailure(
            .failedPrecondition, executed: .no,
            "function \"\(function)\" has failed: \(reason); after a fix: dcf function create --update, or dcf "
                + "function restart \(function)", cause: .functionFailed)
    }

    package static let draining = CallFailure(.unavailable, executed: .no, "the gateway is shutting down")

    /// - Parameter advice: what the caller can do about it.
    package static func replyNotText(_ function: String, at offset: Int, _ advice: StaticString) -> CallFailure {
        CallFailure(
            .internal, executed: .yes, "the reply of \"\(function)\" is not UTF-8 text (byte \(offset)), \(advice)")
    }

    package static func replyTooLarge(_ bytes: Int, limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .yes, "the reply has \(bytes) bytes, the limit is \(limit) (message)",
            cause: .replyTooLarge)
    }

    /// - Parameter reason: which memory is full.
    package static func repliesNotTaken(_ reason: String) -> CallFailure {
        CallFailure(.resourceExhausted, executed: .yes, reason)
    }

    package static func chainTooDeep(_ path: [String], limit: Int) -> CallFailure {
        CallFailure(
            .failedPrecondition, executed: .no,
            "functions call one another more than \(limit) deep (chain-depth): \(path.joined(separator: " > "))")
    }

    package static func chainWaitsForItself(_ path: [String], capacity: Int) -> CallFailure {
        let name = path.last ?? ""
        return CallFailure(
            .failedPrecondition, executed: .no,
            "\(path.joined(separator: " > ")): \"\(name)\" can run \(capacity) \(capacity == 1 ? "call" : "calls") at "
                + "a time, and those wait for this one; give it more replicas, or concurrency")
    }

    package static func tooManyCallsOut(_ function: String, limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no,
            "\(limit) calls that \"\(function)\" makes to other functions are under way already",
            retryPushbackMillis: queuePushbackMillis)
    }

    package static func tooManyPieces(limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .yes, "\(limit) pieces of the reply wait for the caller to read them")
    }
}
