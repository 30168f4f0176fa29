package import GRPC
internal import CLinux
internal import Glibc
internal import Synchronization

/// Looks at all calls every few milliseconds: ends those whose time is up, watches for the callers of those that take
/// long, and reports replicas that are stuck. Rests while there are no calls.
package final class Sweeper: Sendable {
    private static let intervalMicros: UInt32 = 5_000
    /// A call that takes longer is watched: short ones do not pay for it.
    private static let watchAfter = Duration.milliseconds(2)
    /// So many looks without any call, and it rests.
    private static let idleLooksMax = 200

    private let routes: RouteTable
    private let calls: CompletionQueue
    private let isResting = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    private let thread = Mutex<Thread?>(nil)
    private let wakeup: Int32

    /// - Parameter calls: the queue whose events nobody waits for; they are completed here.
    package init(routes: RouteTable, calls: CompletionQueue) {
        self.routes = routes
        self.calls = calls
        wakeup = eventfd(0, Int32(EFD_CLOEXEC))
    }

    deinit {
        close(wakeup)
    }

    package func start() {
        let running = Thread(name: "sweeper") { [self] in run() }
        thread.withLock { $0 = running }
    }

    package func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        eventfd_write(wakeup, 1)
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
    }

    /// A call has come. Costs a load, unless the sweeper rests.
    @inline(__always)
    package func wake() {
        guard isResting.load(ordering: .sequentiallyConsistent) else { return }
        if isResting.exchange(false, ordering: .sequentiallyConsistent) { eventfd_write(wakeup, 1) }
    }

    private func run() {
        var idleLooks = 0
        while !isStopping.load(ordering: .relaxed) {
            let now = MonotonicTime.now
            var isBusy = false
            for route in routes.all where route.isBusy {
                isBusy = true
                for overrun in route.sweep(at: now, watchAfter: Self.watchAfter) {
                    overrun.replica.onOverrun(overrun.id, overrun.nanoseconds)
                }
            }
            calls.drain()
            idleLooks = isBusy ? 0 : idleLooks + 1
            if idleLooks > Self.idleLooksMax {
                rest()
                idleLooks = 0
            } else {
                usleep(Self.intervalMicros)
            }
        }
    }

    private func rest() {
        isResting.store(true, ordering: .sequentiallyConsistent)
        // One that came just before would not have seen that it must wake us.
        guard !routes.all.contains(where: \.isBusy), !isStopping.load(ordering: .relaxed) else {
            isResting.store(false, ordering: .sequentiallyConsistent)
            return
        }
        MessageMemory.giveBack()
        var count: UInt64 = 0
        eventfd_read(wakeup, &count)
        isResting.store(false, ordering: .sequentiallyConsistent)
    }
}
