/// What all routes share.
package struct RouteContext: Sendable {
    /// What the inputs of their waiting calls hold together.
    package let queuedBytes: QueuedBytes
    /// Where a route says that it has calls.
    package let busy: BusyRoutes

    package init(queuedBytes: QueuedBytes, busy: BusyRoutes) {
        self.queuedBytes = queuedBytes
        self.busy = busy
    }
}
