package import GRPC

/// Everything about a call but its input: what any front door must say of it.
package struct InvocationContext: Sendable {
    /// What the caller said; names the request.
    package var metadata: RequestMetadata
    package var arrived: MonotonicTime
    /// When the caller stops waiting.
    package var deadline: MonotonicTime
    /// Whether the reply must be UTF-8.
    package var wantsText: Bool
    /// Whether the reply may come in pieces; else whoever makes it joins them.
    package var wantsPieces: Bool
    /// The functions that this call is made for, outermost first: each waits for the next. Empty for a caller outside.
    package var path: [FunctionRoute]

    package init(
        metadata: RequestMetadata, arrived: MonotonicTime = .now, deadline: MonotonicTime = .never,
        wantsText: Bool = false, wantsPieces: Bool = false, path: [FunctionRoute] = []
    ) {
        self.metadata = metadata
        self.arrived = arrived
        self.deadline = deadline
        self.wantsText = wantsText
        self.wantsPieces = wantsPieces
        self.path = path
    }

    package var requestID: String { metadata.requestID }
}
