package import ControlPlane

/// The limits of the HTTP front alone. The limits that calls have through every front are ``Limits``. A value.
package struct HTTPLimits: Sendable, Equatable {
    /// How long the head of a request may take to come, from its first byte.
    package var headTimeout = Duration.seconds(10)
    /// How long the body of a request may take to come, or each MiB of a larger one.
    package var bodyTimeout = Duration.seconds(300)
    /// How long a connection may be without a request, or a request without another byte of its body.
    package var idleTimeout = Duration.seconds(60)
    /// The most bytes of a request's head.
    package var headBytes = 64 << 10
    /// The most bytes of bodies that were received and not answered, all together.
    package var inputBytes = 256 << 20
    /// The most bytes of replies that callers have not read, all together.
    package var replyBytes = 256 << 20

    package init() {}

    /// All limits of the HTTP front, in the order of the documentation.
    package static let named: [NamedLimit<HTTPLimits>] = [
        .duration("http-head-timeout", "how long the head of an HTTP request may take to come", \.headTimeout),
        .duration("http-body-timeout", "how long the body of an HTTP request may take to come", \.bodyTimeout),
        .duration(
            "http-idle", "how long an HTTP connection may be silent while it waits for its client", \.idleTimeout),
        .size("http-head", "the head of an HTTP request", \.headBytes),
        .size("http-input-bytes", "HTTP bodies that have come and are not answered, all together", \.inputBytes),
        .size("http-reply-bytes", "HTTP replies that callers have not read, all together", \.replyBytes),
    ]
}
