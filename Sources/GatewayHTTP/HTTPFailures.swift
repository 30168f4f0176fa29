internal import Calls
internal import Platform

/// Why a request over HTTP is not a call.
extension CallFailure {
    static func unknownCoding(_ name: String) -> CallFailure {
        CallFailure(
            .invalidArgument, executed: .no,
            "the body's Content-Encoding is \"\(name.prefix(32))\"; gzip, deflate and identity are accepted",
            cause: .unknownCoding)
    }

    static func unknownExpectation(_ text: String) -> CallFailure {
        CallFailure(
            .invalidArgument, executed: .no, "Expect: \"\(text.prefix(32))\" is not 100-continue",
            cause: .unknownExpectation)
    }

    static func unpackingFailed(_ reason: String) -> CallFailure {
        CallFailure(.invalidArgument, executed: .no, "the body cannot be unpacked: \(reason)")
    }

    static func noRoomForBody(budget: Int) -> CallFailure {
        CallFailure(
            .resourceExhausted, executed: .no,
            "there is no room for the body beside those that wait: they may have \(budget) bytes together "
                + "(http-input-bytes)", retryPushbackMillis: queuePushbackMillis)
    }

    static func repliesNotTaken(replies limit: Int) -> CallFailure {
        .repliesNotTaken(
            "replies that were not read yet fill the memory for them: \(limit) bytes (http-reply-bytes), and the less "
                + "of it is left the less a connection may hold; read replies sooner")
    }

    static func unknownNamespace(_ name: Substring) -> CallFailure {
        CallFailure(
            .notFound, executed: .no,
            "there is no namespace \"\(name.prefix(64))\"; every function is in openfaas-fn, which need not be named")
    }

    static func badTimeout(_ text: String) -> CallFailure {
        CallFailure(
            .invalidArgument, executed: .no,
            "X-Timeout: \"\(text.prefix(32))\" is not a time such as 500ms, 5s or 2m")
    }

    static func pieceNotText(at offset: Int) -> CallFailure {
        CallFailure(
            .internal, executed: .yes,
            "a piece of the reply is not UTF-8 text (byte \(offset)), which server-sent events must be; ask without "
                + "Accept: text/event-stream, or yield text")
    }
}
