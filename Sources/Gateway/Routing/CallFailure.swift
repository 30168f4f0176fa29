package import GRPC
package import WatcherLink

/// Why a call has no reply: the one place where each situation becomes a status.
///
/// Every one says in the trailer `dcf-executed` whether the handler ran. A caller may repeat a call that was not
/// executed; one that may have been is marked so that clients do not repeat it by themselves.
package struct CallFailure: Error, Sendable, Equatable {
    package var code: Status.Code
    package var executed: ErrorHead.Executed
    package var message: String
    /// When a client may try again, in milliseconds; negative: not by itself. Nil leaves it to the client.
    package var retryPushbackMillis: Int?
    /// What the handler gave for its caller.
    package var metadata: ReplyMetadata

    package init(
        _ code: Status.Code, executed: ErrorHead.Executed, _ message: String, retryPushbackMillis: Int? = nil,
        metadata: ReplyMetadata = ReplyMetadata()
    ) {
        self.code = code
        self.executed = executed
        self.message = message
        self.retryPushbackMillis = retryPushbackMillis
        self.metadata = metadata
    }

    /// As the caller gets it, but for `metadata`.
    package var status: Status {
        var metadata: Metadata = ["dcf-executed": "\(executed)"]
        if let retryPushbackMillis { metadata["grpc-retry-pushback-ms"] = "\(retryPushbackMillis)" }
        return Status(code, message, metadata: metadata)
    }

    /// How long a caller is asked to wait when a queue is full.
    private static let queuePushbackMillis = 100

    package static func unknownFunction(_ name: String, nearest: String?) -> CallFailure {
        let hint = nearest.map { "did you mean \"\($0)\"?" } ?? "dcf function list shows what is"
        return CallFailure(.notFound, executed: .no, "function \"\(name)\" is not deployed; \(hint)")
    }

    /// - Parameter text: what follows the `@`.
    package static func unknownVersion(_ text: String, of name: String, kept: [Int]) -> CallFailure {
        let versions = kept.map { "\($0)" }.joined(separator: ", ")
        guard let version = Int(text), version > 0, "\(version)" == text else {
            return CallFailure(
                .invalidArgument, executed: .no,
                "\"\(text.prefix(32))\" is no version of \"\(name)\"; a version is a number, as \(name)@\(kept.last ?? 1)"
            )
        }
        return CallFailure(
            .notFound, executed: .no, "function \"\(name)\" has no version \(version); kept: \(versions)")
    }

    package static func malformedRequest(_ method: String) -> CallFailure {
        CallFailure(.invalidArgument, executed: .no, "the request is not an InvokeServiceRequest of \(method)")
    }

    package static func inputTooLarge(_ bytes: Int, limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no, "the input has \(bytes) bytes, the limit is \(limit) (message)")
    }

    /// A message that did not get as far as to be read.
    package static func refused(_ refusal: MessageRefusal) -> CallFailure {
        switch refusal {
        case .compressed:
            CallFailure(
                .unimplemented, executed: .no,
                "the message is compressed, and only plain ones are accepted (grpc-accept-encoding: identity)")
        case .tooLarge(let bytes):
            CallFailure(
                .resourceExhausted, executed: .no,
                "the message has \(bytes) bytes, more than a message may have (message)")
        case .noRoom(let bytes):
            CallFailure(
                .resourceExhausted, executed: .no,
                "there is no room for the message of \(bytes) bytes beside those that are on their way (input-bytes, "
                    + "input-bytes-per-connection)", retryPushbackMillis: queuePushbackMillis)
        }
    }

    package static func metadataTooLarge(_ bytes: Int, limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no,
            "the call's metadata has \(bytes) bytes, with 32 for each pair; the limit is \(limit) (metadata)")
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

    /// - Parameter shortage: why there was no replica, if that is known.
    package static func deadlinePassed(
        executed: ErrorHead.Executed, because shortage: String? = nil
    ) -> CallFailure {
        CallFailure(
            .deadlineExceeded, executed: executed,
            executed == .no
                ? "the call's time was up before a replica was free\(shortage.map { ": \($0)" } ?? "")"
                : "the call's time was up while a replica had it")
    }

    package static func cancelled(executed: ErrorHead.Executed) -> CallFailure {
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
            "function \"\(function)\" has failed: \(reason); after a fix: dcf function create --update, or dcf function "
                + "restart \(function)")
    }

    package static let draining = CallFailure(.unavailable, executed: .no, "the gateway is shutting down")

    package static func replyNotText(_ function: String, at offset: Int) -> CallFailure {
        CallFailure(
            .internal, executed: .yes,
            "the reply of \"\(function)\" is not UTF-8 text (byte \(offset)), which Invoke must carry; call it with "
                + "InvokeBytes, as dcf function call does, or return text")
    }

    package static func replyTooLarge(_ bytes: Int, limit: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .yes, "the reply has \(bytes) bytes, the limit is \(limit) (message)")
    }

    /// - Parameter reason: what is full.
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
            "\(path.joined(separator: " > ")): \"\(name)\" can run \(capacity) \(capacity == 1 ? "call" : "calls") at a "
                + "time, and those wait for this one; give it more replicas, or concurrency")
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

    /// What the watcher said of the call.
    ///
    /// - Parameter head: of an Error.
    package static func watcher(_ head: UnsafeRawBufferPointer) -> CallFailure {
        do {
            let error = try ErrorHead(head: head)
            return CallFailure(
                Status.Code(rawValue: UInt32(error.code)) ?? .unknown, executed: error.executed, error.message,
                metadata: error.metadata.isEmpty
                    ? ReplyMetadata() : ReplyMetadata(head: head, from: ErrorHead.metadataOffset(in: head)))
        } catch {
            return CallFailure(.internal, executed: .maybe, "the watcher's answer does not parse: \(error)")
        }
    }
}
