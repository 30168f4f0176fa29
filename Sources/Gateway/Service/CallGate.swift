internal import Synchronization

/// Counts the calls that were accepted and are not answered, and closes for good when the gateway drains.
///
/// Who sees the gate closed and then no call inside has seen the last of them: entering and closing are in one order.
package final class CallGate: Sendable {
    private let open = Atomic<Bool>(true)
    private let inside = Atomic<Int>(0)

    package init() {}

    /// False when no more calls are taken.
    func enter() -> Bool {
        inside.add(1, ordering: .sequentiallyConsistent)
        guard open.load(ordering: .sequentiallyConsistent) else {
            leave()
            return false
        }
        return true
    }

    func leave() {
        inside.subtract(1, ordering: .releasing)
    }

    /// Lets nobody in any more.
    package func close() {
        open.store(false, ordering: .sequentiallyConsistent)
    }

    package var isOpen: Bool { open.load(ordering: .relaxed) }

    /// Accepted calls that are not answered.
    package var count: Int { inside.load(ordering: .sequentiallyConsistent) }
}
