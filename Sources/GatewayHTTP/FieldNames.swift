internal import HTTPTypes

/// The names of headers that `HTTPTypes` does not have.
extension HTTPField.Name {
    static let accelBuffering = named("X-Accel-Buffering")
    static let callID = named("X-Call-Id")
    static let dcfExecuted = named("dcf-executed")
    static let duration = named("X-Duration-Seconds")
    static let hostName = named("Host")
    static let requestID = named("x-request-id")
    static let secFetchSite = named("Sec-Fetch-Site")
    static let shouldRetry = named("x-should-retry")
    static let timeout = named("X-Timeout")
    static let traceParent = named("traceparent")

    /// A constant name.
    private static func named(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is not a name of a header") }
        return name
    }
}
