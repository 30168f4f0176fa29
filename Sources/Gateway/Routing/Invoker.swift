internal import GRPC

/// The one way in for a call, whichever front door it came through: finds the function, and admits the call to it. It
/// knows nothing of the protocol that carried the call, and never blocks.
package final class Invoker: Sendable {
    private let routes: RouteTable
    private let sweeper: Sweeper
    private let maxInputBytes: Int
    private let maxMetadataBytes: Int
    private let chainDepth: Int

    /// - Parameters:
    ///   - maxInputBytes: the largest input.
    ///   - maxMetadataBytes: the most metadata.
    ///   - chainDepth: so many functions may wait for one another.
    package init(routes: RouteTable, sweeper: Sweeper, maxInputBytes: Int, maxMetadataBytes: Int, chainDepth: Int) {
        self.routes = routes
        self.sweeper = sweeper
        self.maxInputBytes = maxInputBytes
        self.maxMetadataBytes = maxMetadataBytes
        self.chainDepth = chainDepth
    }

    /// Begins a call; its answer goes to `responder`, maybe before this returns.
    ///
    /// - Parameter function: its name, or `name@version`.
    /// - Returns: the call; nil when it was refused.
    @discardableResult
    func invoke(
        _ function: String, _ input: consuming InvocationInput, _ context: InvocationContext,
        _ responder: any InvocationResponder
    ) -> AdmittedCall? {
        sweeper.wake()
        guard input.count <= maxInputBytes else {
            responder.fail(.inputTooLarge(input.count, limit: maxInputBytes), context)
            return nil
        }
        guard context.metadata.callerBytes <= maxMetadataBytes else {
            responder.fail(.metadataTooLarge(context.metadata.callerBytes, limit: maxMetadataBytes), context)
            return nil
        }
        guard let route = routes.route(of: function, key: context.metadata.key) else {
            responder.fail(routes.unknown(function), context)
            return nil
        }
        if !context.path.isEmpty, let failure = refusal(of: route, after: context.path) {
            responder.fail(failure, context)
            return nil
        }
        let invocation = Invocation(responder: responder, input: input, context: context)
        invocation.namesVersion = function.utf8.count != route.name.utf8.count
        route.admit(invocation)
        return AdmittedCall(route: route, invocation: invocation)
    }

    /// Why a chain of calls may not go on to `route`, if so.
    private func refusal(of route: FunctionRoute, after path: [FunctionRoute]) -> CallFailure? {
        let names = path.map(\.name) + [route.name]
        guard names.count <= chainDepth else { return .chainTooDeep(names, limit: chainDepth) }
        // Each of them keeps its place until this call is answered: when they have all there are, it never is.
        let held = path.count { $0 === route }
        if held > 0 {
            let capacity = route.capacityMax
            if capacity > 0, held >= capacity { return .chainWaitsForItself(names, capacity: capacity) }
        }
        return nil
    }
}
