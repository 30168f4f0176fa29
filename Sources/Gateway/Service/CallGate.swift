internal import Synchronization

/// Counts the calls that were accepted and are not answered, and closes for good when the gateway drains.
///
/// Who sees the gate closed and then no call inside has seen the last of them: entering and closing are in one order.
package final class CallGate: Sendable {
    private let open = Atomic<Bool>(true)
    private let leaving = Atomic<Bool>(false)
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

    /// The gateway will leave soon: it still takes calls, and says that new ones had better go elsewhere.
    package func beginLameDuck() {
        leaving.store(true, ordering: .sequentiallyConsistent)
    }

    /// Whether the gateway is where calls should go: what health says.
    package var isServing: Bool { isOpen && !leaving.load(ordering: .relaxed) }

    /// Lets nobody in any more.
    package func close() {
        open.store(false, ordering: .sequentiallyConsistent)
    }

    package var isOpen: Bool { open.load(ordering: .relaxed) }

    /// Accepted calls that are not answered.
    package var count: Int { inside.load(ordering: .sequentiallyConsistent) }
}
