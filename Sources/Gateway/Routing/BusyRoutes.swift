internal import GRPC
internal import CLinux
internal import Glibc
internal import Locks
internal import Synchronization

/// The routes that have calls, for the sweeper, which looks at no others; and when one wants to be looked at before the
/// next round. A route names itself when it goes from no call to one.
package final class BusyRoutes: Sendable {
    private struct State {
        var arrivals: [FunctionRoute] = []
        var dues: [(time: MonotonicTime, route: FunctionRoute)] = []
        /// Until when the sweeper sleeps; long past while it does not.
        var sleepsUntil = MonotonicTime(nanoseconds: .min)
    }

    private let state = Lock(State())
    private let isResting = Atomic<Bool>(false)
    private let wakeup: Int32

    package init() {
        wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    }

    deinit {
        close(wakeup)
    }

    // MARK: What routes say

    /// The route has calls, until a look at it finds none.
    func add(_ route: FunctionRoute) {
        state.withLock { $0.arrivals.append(route) }
        wake()
    }

    /// The route wants its `dispatch` called at `time`.
    func wake(_ route: FunctionRoute, at time: MonotonicTime) {
        let isLate = state.withLock { state in
            state.dues.append((time, route))
            return time < state.sleepsUntil
        }
        if isLate { interrupt() }
    }

    /// There is something to do. Costs a load, unless the sweeper rests.
    @inline(__always)
    func wake() {
        guard isResting.load(ordering: .sequentiallyConsistent) else { return }
        if isResting.exchange(false, ordering: .sequentiallyConsistent) { interrupt() }
    }

    // MARK: The sweeper's side

    /// Ends the sleep that is under way, or else the next one.
    func interrupt() {
        eventfd_write(wakeup, 1)
    }

    /// Adds the routes that have come since the last time.
    func takeArrivals(into routes: inout [FunctionRoute]) {
        state.withLock { state in
            routes += state.arrivals
            state.arrivals.removeAll(keepingCapacity: true)
        }
    }

    /// The routes whose time has come.
    func takeDue(at now: MonotonicTime) -> [FunctionRoute] {
        state.withLock { state in
            guard !state.dues.isEmpty else { return [] }
            var due: [FunctionRoute] = []
            state.dues.removeAll { entry in
                guard entry.time <= now else { return false }
                due.append(entry.route)
                return true
            }
            return due
        }
    }

    /// Sleeps until `time`, or the time that a route wants before it, or `interrupt`.
    func sleep(until time: MonotonicTime) {
        let until = state.withLock { state in
            state.sleepsUntil = state.dues.reduce(time) { min($0, $1.time) }
            return state.sleepsUntil
        }
        dcf_wait_readable(wakeup, until == .never ? -1 : max(until.nanoseconds(since: .now), 0))
        state.withLock { $0.sleepsUntil = MonotonicTime(nanoseconds: .min) }
        var count: UInt64 = 0
        eventfd_read(wakeup, &count)
    }

    /// Sleeps until there is something to do.
    func rest() {
        isResting.store(true, ordering: .sequentiallyConsistent)
        // One that came just before would not have seen that it must wake us.
        if state.withLock({ $0.arrivals.isEmpty }) {
            MessageMemory.giveBack()
            sleep(until: .never)
        }
        isResting.store(false, ordering: .sequentiallyConsistent)
    }
}
