package import Platform

/// Everything about a call except its input. Each front fills it in.
package struct InvocationContext: Sendable {
    /// The caller's headers, with the request's id and trace.
    package var metadata: RequestMetadata
    package var arrived: MonotonicTime
    /// When the caller stops waiting.
    package var deadline: MonotonicTime
    /// Set where the reply must be UTF-8: the advice in the error about a reply that is not.
    package var needsText: StaticString?
    /// Whether the reply may come in pieces. Otherwise the watcher joins them.
    package var wantsPieces: Bool
    /// The functions that wait for this call, outermost first: each waits for the next. Empty for a caller outside.
    package var path: [FunctionRoute]
    /// Whether a handler makes the call. The gate neither counts nor refuses such a call: handlers of accepted calls
    /// finish them while the gateway drains.
    package var isFromHandler: Bool

    package init(
        metadata: RequestMetadata, arrived: MonotonicTime = .now, deadline: MonotonicTime = .never,
        needsText: StaticString? = nil, wantsPieces: Bool = false, path: [FunctionRoute] = [],
        isFromHandler: Bool = false
    ) {
        self.metadata = metadata
        self.arrived = arrived
        self.deadline = deadline
        self.needsText = needsText
        self.wantsPieces = wantsPieces
        self.path = path
        self.isFromHandler = isFromHandler
    }

    package var requestID: String { metadata.requestID }
}
