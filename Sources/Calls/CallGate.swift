package import Platform
internal import Synchronization

/// The gate at which each call ends, and by which each call except a handler's enters. It counts the calls inside,
/// tells the observers of each end, and closes for good when the gateway drains.
///
/// A thread that sees the gate closed and afterwards sees no call inside knows that no call will follow: entering and
/// closing have one total order. Any thread may use the gate.
package final class CallGate: Sendable {
    private let observers: [any CallObserver]
    private let open = Atomic<Bool>(true)
    private let isLameDuck = Atomic<Bool>(false)
    private let inside = Atomic<Int>(0)

    package init(observers: [any CallObserver] = []) {
        self.observers = observers
    }

    /// Lets one call in.
    ///
    /// - Returns: false when the gate is closed.
    func enter() -> Bool {
        inside.add(1, ordering: .sequentiallyConsistent)
        guard open.load(ordering: .sequentiallyConsistent) else {
            leave()
            return false
        }
        return true
    }

    /// Tells the observers how a call ends. Every call passes this one point, also a call that the gate refused.
    func ended(_ outcome: CallOutcome) {
        for observer in observers { observer.ended(outcome) }
    }

    /// Counts one more call as inside until `leave`. A front uses it while it still has to write after a call has
    /// ended.
    package func hold() {
        inside.add(1, ordering: .sequentiallyConsistent)
    }

    /// Ends what `enter` or `hold` began.
    package func leave() {
        inside.subtract(1, ordering: .releasing)
    }

    /// The gateway will stop soon: it still takes calls, and its health tells callers to send new ones elsewhere.
    package func beginLameDuck() {
        isLameDuck.store(true, ordering: .sequentiallyConsistent)
    }

    /// Whether new calls should come to this gateway. Health reports this.
    package var isServing: Bool { isOpen && !isLameDuck.load(ordering: .relaxed) }

    /// Refuses every further call.
    package func close() {
        open.store(false, ordering: .sequentiallyConsistent)
    }

    package var isOpen: Bool { open.load(ordering: .relaxed) }

    /// How many calls are inside.
    package var count: Int { inside.load(ordering: .sequentiallyConsistent) }
}

/// How one call ended. Each call has one end, refusals included.
package struct CallOutcome: Sendable {
    /// The function's name. Where the invoker refused the call, it is the text that the caller gave, with any
    /// `@version`. Callers choose that text, so it must not be the label of a metric: `route?.name` may be.
    package var function: String
    /// The route of the version that had the call last; nil where the invoker refused the call.
    package var route: FunctionRoute?
    /// Whether the call got a place in the queue or at a replica.
    package var isAdmitted: Bool
    package var code: StatusCode
    /// Whether the handler ran.
    package var executed: CallFailure.Executed
    package var context: InvocationContext
    /// When it was sent to the replica that had it last; nil where no replica got it.
    package var sent: MonotonicTime?
    package var ended: MonotonicTime
    package var bytesIn: Int
    /// Bytes of the reply, or of all its pieces.
    package var bytesOut: Int

    /// The version that had the call last; nil where `route` is.
    package var version: Int? { route?.version }
    /// From its arrival until it was sent to the replica that had it last, or until its end where it was never sent, in
    /// nanoseconds.
    package var queuedNanos: Int64 { (sent ?? ended).nanoseconds(since: context.arrived) }
    /// How long a replica had it, in nanoseconds.
    package var sentNanos: Int64 { sent.map { ended.nanoseconds(since: $0) } ?? 0 }
    /// From its arrival to its end, in nanoseconds.
    package var totalNanos: Int64 { ended.nanoseconds(since: context.arrived) }
}

/// Learns of the end of each call: counters, metrics, traces and audits attach here.
///
/// `ended` runs on the thread that ends the call, just before the caller gets its answer, so that a caller with its
/// answer finds the call counted. No lock is held. It must be quick and must not block.
package protocol CallObserver: AnyObject, Sendable {
    func ended(_ outcome: borrowing CallOutcome)
}

/// Counts the calls of each version: `dcf function list` shows the sum, and a version without new calls counts as idle.
final class CallCounter: CallObserver {
    func ended(_ outcome: borrowing CallOutcome) {
        if outcome.isAdmitted { outcome.route?.countCall() }
    }
}
