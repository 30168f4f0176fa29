internal import CLinux
package import Platform
internal import Synchronization

/// The thread that looks every 5 ms at all routes that have calls. It ends calls whose time is up, begins to watch the
/// callers of calls that take long, recalls calls that were sent ahead to a replica that has turned slow, and reports
/// replicas that are stuck. In between it sends the batches whose time to wait is over. It rests while there are no
/// calls.
///
/// Any thread may wake it. `start` and `stop` are called once each.
package final class Sweeper: Sendable {
    private static let interval = Duration.milliseconds(5)
    /// The age of a call at which the gateway begins to watch its caller, in nanoseconds. Short calls do not pay.
    private static let watchAfter: Int64 = 2_000_000
    /// After how many looks without any call it rests.
    private static let idleLooksMax = 200

    private let busy: BusyRoutes
    private let onTurn: @Sendable () -> Void
    package let heartbeat = Heartbeat("sweeper")
    private let isStopping = Atomic<Bool>(false)
    private let thread = Lock<Thread?>(nil)

    /// - Parameter onTurn: runs on the sweeper's thread after each look.
    package init(busy: BusyRoutes, onTurn: @escaping @Sendable () -> Void = {}) {
        self.busy = busy
        self.onTurn = onTurn
    }

    package func start() {
        let running = Thread(name: "sweeper") { [self] in run() }
        thread.withLock { $0 = running }
    }

    package func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        busy.interrupt()
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
    }

    /// Tells the sweeper that a call has come, even one that is refused. Costs one load unless the sweeper rests.
    @inline(__always)
    package func wake() {
        busy.wake()
    }

    private func run() {
        var routes: [FunctionRoute] = []
        var idleLooks = 0
        var nextLook = MonotonicTime.now
        while !isStopping.load(ordering: .sequentiallyConsistent) {
            heartbeat.begin()
            let now = MonotonicTime.now
            for route in busy.takeDue(at: now) { route.dispatch(at: now) }
            if now >= nextLook {
                busy.takeArrivals(into: &routes)
                routes.removeAll { !Self.look(at: $0, now) }
                onTurn()
                idleLooks = routes.isEmpty ? idleLooks + 1 : 0
                nextLook = now.advanced(by: Self.interval)
            }
            heartbeat.end()
            if idleLooks > Self.idleLooksMax {
                busy.rest()
                idleLooks = 0
                nextLook = .now
            } else {
                busy.sleep(until: nextLook)
            }
        }
    }

    /// - Returns: whether the route still has calls.
    private static func look(at route: FunctionRoute, _ now: MonotonicTime) -> Bool {
        let sweep = route.sweep(at: now, watchAfter: watchAfter)
        for overrun in sweep.overruns { overrun.replica.onOverrun(overrun) }
        return sweep.isBusy
    }
}

/// The routes that have calls: the sweeper looks at no others. A route adds itself when it goes from no call to one,
/// and may ask to be looked at before the next round. Any thread may use it; the sweeper alone sleeps in it.
package final class BusyRoutes: Sendable {
    private struct State {
        var arrivals: [FunctionRoute] = []
        var dues: [(time: MonotonicTime, route: FunctionRoute)] = []
        /// Until when the sweeper sleeps; in the far past while it is awake.
        var sleepsUntil = MonotonicTime(nanoseconds: .min)
    }

    private let state = Lock(State())
    private let isResting = Atomic<Bool>(false)
    private let wakeup = Wakeup()

    package init() {}

    // MARK: From the routes

    /// Adds a route that has calls. It stays until a look finds that it has none.
    func add(_ route: FunctionRoute) {
        state.withLock { $0.arrivals.append(route) }
        wake()
    }

    /// Has the route's `dispatch` called at `time`.
    func wake(_ route: FunctionRoute, at time: MonotonicTime) {
        let isLate = state.withLock { state in
            state.dues.append((time, route))
            return time < state.sleepsUntil
        }
        if isLate { interrupt() }
    }

    /// Ends the sweeper's rest. Costs one load unless the sweeper rests.
    @inline(__always)
    func wake() {
        guard isResting.load(ordering: .sequentiallyConsistent) else { return }
        if isResting.exchange(false, ordering: .sequentiallyConsistent) { interrupt() }
    }

    // MARK: From the sweeper

    /// Ends the current sleep, or the next one where there is none.
    func interrupt() {
        wakeup.signal()
    }

    /// Appends the routes that were added since the last call.
    func takeArrivals(into routes: inout [FunctionRoute]) {
        state.withLock { state in
            routes += state.arrivals
            state.arrivals.removeAll(keepingCapacity: true)
        }
    }

    /// Removes and returns the routes that asked to be looked at by now.
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

    /// Sleeps until `time`, or until an earlier time that a route asked for, or until `interrupt`.
    func sleep(until time: MonotonicTime) {
        let until = state.withLock { state in
            state.sleepsUntil = state.dues.reduce(time) { min($0, $1.time) }
            return state.sleepsUntil
        }
        dcf_wait_readable(wakeup.descriptor, until == .never ? -1 : max(until.nanoseconds(since: .now), 0))
        state.withLock { $0.sleepsUntil = MonotonicTime(nanoseconds: .min) }
        wakeup.clear()
    }

    /// Sleeps until a call comes.
    func rest() {
        isResting.store(true, ordering: .sequentiallyConsistent)
        // A call that came just before could not see that it must wake the sweeper.
        if state.withLock({ $0.arrivals.isEmpty }) {
            MessageMemory.giveBack()
            sleep(until: .never)
        }
        isResting.store(false, ordering: .sequentiallyConsistent)
    }
}
