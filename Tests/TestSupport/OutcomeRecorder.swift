package import Calls
internal import Synchronization

/// Keeps how each call ended, in order.
package final class OutcomeRecorder: CallObserver {
    private let kept = Mutex<[CallOutcome]>([])

    package init() {}

    package var outcomes: [CallOutcome] { kept.withLock { $0 } }

    package func ended(_ outcome: borrowing CallOutcome) {
        let outcome = copy outcome
        kept.withLock { $0.append(outcome) }
    }
}
