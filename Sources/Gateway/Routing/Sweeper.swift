package import GRPC
internal import Locks
internal import Synchronization

/// Looks at all routes that have calls every few milliseconds: ends calls whose time is up, watches for the callers of those
/// that take long, asks for what was sent ahead to a replica that turned slow, and reports replicas that are stuck. In
/// between, it forms the batches whose time to wait is over. Rests while there are no calls.
package final class Sweeper: Sendable {
    private static let interval = Duration.milliseconds(5)
    /// A call that takes longer is watched, in nanoseconds: short ones do not pay for it.
    private static let watchAfter: Int64 = 2_000_000
    /// So many looks without any call, and it rests.
    private static let idleLooksMax = 200

    private let busy: BusyRoutes
    private let calls: CompletionQueue
    let heartbeat = Heartbeat("sweeper")
    private let isStopping = Atomic<Bool>(false)
    private let thread = Lock<Thread?>(nil)

    /// - Parameter calls: the queue whose events nobody waits for; they are completed here.
    package init(busy: BusyRoutes, calls: CompletionQueue) {
        self.busy = busy
        self.calls = calls
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

    /// A call has come, also one that is refused. Costs a load, unless the sweeper rests.
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
                calls.drain()
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
