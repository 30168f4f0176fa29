internal import Calls
internal import HTTPTypes
internal import Platform

extension CallFailure {
    /// The status of HTTP that tells what happened.
    var status: HTTPResponse.Status {
        switch cause {
        case .inputTooLarge: return .contentTooLarge
        case .metadataTooLarge: return .requestHeaderFieldsTooLarge
        case .functionFailed: return .serviceUnavailable
        case .replyTooLarge: return .internalServerError
        case .unknownCoding: return .unsupportedMediaType
        case .unknownExpectation: return .expectationFailed
        case .other: break
        }
        switch code {
        case .ok: return .ok
        case .invalidArgument, .outOfRange: return .badRequest
        case .unauthenticated: return .unauthorized
        case .permissionDenied: return .forbidden
        case .notFound: return .notFound
        case .alreadyExists, .aborted: return .conflict
        case .resourceExhausted: return .tooManyRequests
        case .unimplemented: return .notImplemented
        case .unavailable: return .serviceUnavailable
        case .deadlineExceeded: return .gatewayTimeout
        case .cancelled: return HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request")
        case .unknown, .failedPrecondition, .internal, .dataLoss: return .internalServerError
        }
    }

    /// The headers that every door sends with this failure.
    var fields: HTTPFields {
        var fields = HTTPFields()
        fields[.dcfExecuted] = executed.rawValue
        // The client libraries of OpenAI repeat 409, 429 and 5xx by themselves, unless this header tells them not to.
        if executed != .no { fields[.shouldRetry] = "false" }
        if let millis = retryPushbackMillis, millis >= 0, status != .serviceUnavailable {
            fields[.retryAfter] = "\(max(1, (millis + 999) / 1_000))"
        }
        return fields
    }
}
