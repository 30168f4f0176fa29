internal import Platform

/// Everything that calls need, put together. Fronts bring calls to its invoker; the control plane fills its table of
/// routes.
package final class CallPlane: Sendable {
    package let routes = RouteTable()
    package let routing: RouteContext
    package let gate: CallGate
    package let sweeper: Sweeper
    package let invoker: Invoker

    /// - Parameters:
    ///   - maxInputBytes: the most bytes of an input.
    ///   - maxMetadataBytes: the most bytes of a call's metadata.
    ///   - chainDepth: how many functions may wait for one another.
    ///   - queuedBytes: the most bytes that the inputs of all waiting calls hold together.
    ///   - observers: learn of the end of each call.
    ///   - onTurn: runs on the sweeper's thread after each look.
    package init(
        maxInputBytes: Int, maxMetadataBytes: Int, chainDepth: Int, queuedBytes: Int,
        observers: [any CallObserver] = [],
        onTurn: @escaping @Sendable () -> Void = {}
    ) {
        let busy = BusyRoutes()
        routing = RouteContext(queuedBytes: QueuedBytes(limit: queuedBytes), busy: busy)
        gate = CallGate(observers: [CallCounter()] + observers)
        sweeper = Sweeper(busy: busy, onTurn: onTurn)
        invoker = Invoker(
            routes: routes, sweeper: sweeper, gate: gate, maxInputBytes: maxInputBytes,
            maxMetadataBytes: maxMetadataBytes, chainDepth: chainDepth)
    }
}
