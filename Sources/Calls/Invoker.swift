internal import Platform

/// The one way in for a call, from any front and from handlers: checks the call, finds its function, and admits it
/// there.
///
/// It knows nothing of the protocol that carried the call. Any thread may use it, and it never blocks.
package final class Invoker: Sendable {
    private let routes: RouteTable
    private let sweeper: Sweeper
    private let gate: CallGate
    private let maxInputBytes: Int
    private let maxMetadataBytes: Int
    private let chainDepth: Int

    /// - Parameters:
    ///   - gate: counts the calls, and refuses them once the gateway drains.
    ///   - maxInputBytes: the most bytes of an input.
    ///   - maxMetadataBytes: the most bytes of a call's metadata.
    ///   - chainDepth: how many functions may wait for one another.
    package init(
        routes: RouteTable, sweeper: Sweeper, gate: CallGate, maxInputBytes: Int, maxMetadataBytes: Int, chainDepth: Int
    ) {
        self.routes = routes
        self.sweeper = sweeper
        self.gate = gate
        self.maxInputBytes = maxInputBytes
        self.maxMetadataBytes = maxMetadataBytes
        self.chainDepth = chainDepth
    }

    /// Begins a call. Its answer goes to `responder`, perhaps before this returns.
    ///
    /// - Parameter function: the function's name, or `name@version`.
    /// - Returns: the call; nil where the invoker itself refused it. A call that its route refuses, for example because
    ///   the queue is full, has a handle, too. In both cases `responder.fail` was called before this returns.
    @discardableResult
    package func invoke(
        _ function: String, _ input: InvocationInput, _ context: InvocationContext, _ responder: any InvocationResponder
    ) -> CallHandle? {
        sweeper.wake()
        guard context.isFromHandler || gate.enter() else {
            end(function, .draining, context, responder, bytes: input.count)
            return nil
        }
        do {
            let target = try destination(of: function, input, context)
            let invocation = Invocation(
                of: target.route, input, context, responder, gate: gate, namesVersion: target.namesVersion)
            target.route.admit(invocation)
            return CallHandle(route: target.route, invocation: invocation)
        } catch {
            end(function, error, context, responder, bytes: input.count)
            if !context.isFromHandler { gate.leave() }
            return nil
        }
    }

    /// Ends a call that does not get as far as `invoke`: its front cannot read the request, or has no room for it.
    ///
    /// - Parameter function: the function's name, where it is known.
    package func refuse(
        _ failure: CallFailure, function: String = "", _ context: InvocationContext,
        _ responder: any InvocationResponder
    ) {
        sweeper.wake()
        end(function, context.isFromHandler || gate.isOpen ? failure : .draining, context, responder, bytes: 0)
    }

    /// Ends a call that was not admitted.
    private func end(
        _ function: String, _ failure: CallFailure, _ context: InvocationContext, _ responder: any InvocationResponder,
        bytes: Int
    ) {
        gate.ended(
            CallOutcome(
                function: function, route: nil, isAdmitted: false, code: failure.code, executed: failure.executed,
                context: context, sent: nil, ended: .now, bytesIn: bytes, bytesOut: 0))
        responder.fail(failure)
    }

    /// Where the call goes.
    ///
    /// - Throws: why it is refused.
    private func destination(
        of function: String, _ input: InvocationInput, _ context: InvocationContext
    ) throws(CallFailure) -> RouteTable.Destination {
        guard input.count <= maxInputBytes else {
            throw .inputTooLarge(input.count, limit: maxInputBytes)
        }
        guard context.metadata.callerBytes <= maxMetadataBytes else {
            throw .metadataTooLarge(context.metadata.callerBytes, limit: maxMetadataBytes)
        }
        guard let target = routes.destination(of: function, key: context.metadata.key) else {
            throw routes.unknown(function)
        }
        if !context.path.isEmpty, let failure = refusal(of: target.route, after: context.path) {
            throw failure
        }
        return target
    }

    /// Why a chain of calls may not go on to `route`; nil where it may.
    private func refusal(of route: FunctionRoute, after path: [FunctionRoute]) -> CallFailure? {
        let names = path.map(\.name) + [route.name]
        guard names.count <= chainDepth else { return .chainTooDeep(names, limit: chainDepth) }
        // Each of these calls keeps its place until this call is answered. If they hold all places, it would never be.
        let held = path.count { $0 === route }
        if held > 0 {
            let capacity = route.capacityMax
            if capacity > 0, held >= capacity { return .chainWaitsForItself(names, capacity: capacity) }
        }
        return nil
    }
}

/// A call under way, as the front that began it holds it.
///
/// The handle keeps the call, and the call keeps its responder: a responder that keeps its handle clears it at the
/// call's end. Both methods may be called from any thread, and are harmless once the call has ended: they change no
/// answer.
package struct CallHandle: Sendable {
    let route: FunctionRoute
    let invocation: Invocation

    /// The caller has left: the call ends as cancelled, and its handler is told.
    package func cancel() {
        route.callerLeft(invocation)
    }

    /// Ends the call with `failure`. Its handler is not told.
    package func fail(_ failure: CallFailure) {
        invocation.fail(failure)
    }
}
