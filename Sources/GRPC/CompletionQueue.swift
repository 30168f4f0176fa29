internal import CGRPC
internal import Glibc
package import Platform
internal import Synchronization

/// A completion queue of the core with the threads that drain it.
///
/// `shutdown()` ends it: the threads return once every tag has been completed, and the last owner destroys the C queue.
/// Any thread may use it.
///
/// A queue may have helpers: threads that rest until those at work are busy, one more each time. Threads that wait for
/// the same connections cost time: the one that wakes up first wakes another to watch the connections in its place,
/// which was measured to take a tenth of the time of a call that comes alone.
package final class CompletionQueue: Sendable {
    private let core: CoreQueue
    private let threads: [Thread]
    let helpers: Helpers
    /// How many events were noted by `expectSoon` and not handled yet.
    private let expected = Atomic<Int>(0)

    /// - Parameters:
    ///   - name: the threads' name.
    ///   - threads: how many threads handle its events. 0 makes a queue for events of finished work: only `handleEvents()`
    ///     and `handleExpectedEvents()` handle them, and the queue takes no part in the input and output of connections.
    ///   - helpers: how many threads more there may be.
    ///   - load: when one more helps, and when it rests again.
    package init(name: String, threads count: Int, helpers helperCount: Int = 0, load bounds: LoadBounds = LoadBounds())
    {
        _ = Core.started
        let made = count == 0 ? dcf_completion_queue_create_quiet() : grpc_completion_queue_create_for_next(nil)
        guard let handle = made else {
            preconditionFailure("the gRPC core made no completion queue")
        }
        let core = CoreQueue(handle)
        self.core = core
        let helpers = Helpers(count: helperCount, bounds: bounds)
        self.helpers = helpers
        threads =
            (0..<count).map { _ in
                Thread(name: name) {
                    guard helperCount > 0 else { return Self.run(core) }
                    var load = ThreadLoad(bounds)
                    Self.run(core) {
                        if let share = load.noteTurn() { helpers.wakeIfBusy(share) }
                    }
                }
            }
            + (0..<helperCount).map { index in
                Thread(name: name) {
                    helpers.rest(index)
                    var load = ThreadLoad(bounds)
                    Self.run(core) {
                        if let share = load.noteTurn() { helpers.goOn(index, share) }
                    }
                }
            }
    }

    var handle: OpaquePointer { core.handle }

    /// The C queue. The threads own it too: the last reference to a channel, and to its queue, may be dropped on one of
    /// them.
    private final class CoreQueue: @unchecked Sendable {
        // @unchecked: the core's queue may be used from any thread.
        let handle: OpaquePointer

        init(_ handle: OpaquePointer) {
            self.handle = handle
        }

        deinit {
            grpc_completion_queue_destroy(handle)
        }
    }

    /// The body of a thread: completes tags until the queue ends.
    ///
    /// - Parameter afterEach: called after each event.
    private static func run(_ queue: CoreQueue, afterEach: () -> Void = {}) {
        // No timeout is needed: the queue's end is an event.
        let never = gpr_inf_future(GPR_CLOCK_MONOTONIC)
        while true {
            let event = grpc_completion_queue_next(queue.handle, never, nil)
            switch event.type {
            case GRPC_OP_COMPLETE:
                CompletionTag.redeem(event.tag, success: event.success != 0)
                afterEach()
            case GRPC_QUEUE_SHUTDOWN: return
            default: continue
            }
        }
    }

    /// Notes that an event was asked for that comes soon, mostly at once.
    func expectSoon() {
        expected.add(1, ordering: .relaxed)
    }

    /// Completes on this thread as many tags as ``expectSoon()`` has noted since the last call, as far as they have
    /// their answers. The others are left to ``handleEvents()``.
    ///
    /// For the core to find that a queue without threads is empty costs a system call and a wait, even when it is told
    /// not to wait. So it is not asked more often than there are answers.
    package func handleExpectedEvents() {
        guard expected.load(ordering: .relaxed) > 0 else { return }
        handle(atMost: expected.exchange(0, ordering: .relaxed))
    }

    /// Completes on this thread every tag that has its answer, and returns.
    package func handleEvents() {
        handle(atMost: .max)
    }

    private func handle(atMost count: Int) {
        let past = gpr_inf_past(GPR_CLOCK_MONOTONIC)
        for _ in 0..<count {
            let event = grpc_completion_queue_next(handle, past, nil)
            guard event.type == GRPC_OP_COMPLETE else { return }
            CompletionTag.redeem(event.tag, success: event.success != 0)
        }
    }

    /// Ends the queue and waits for its threads, except when called on one of them. The server and the calls that use
    /// the queue must have ended.
    package func shutdown() {
        grpc_completion_queue_shutdown(handle)
        guard !threads.isEmpty else {
            Self.run(core)
            return
        }
        helpers.stop()
        for thread in threads { thread.join() }
    }
}

extension CompletionQueue {
    /// Decides which of the threads that help work, and which rest. Any thread may use it.
    final class Helpers: Sendable {
        private struct State {
            /// The helpers that rest, by their numbers.
            var resting: [Int] = []
            var isStopping = false
        }

        private let bounds: LoadBounds
        private let state: Lock<State>
        private let wakeups: [Platform.Semaphore]

        init(count: Int, bounds: LoadBounds) {
            self.bounds = bounds
            state = Lock(State())
            wakeups = (0..<count).map { _ in Semaphore() }
        }

        /// Wakes one helper if the calling thread, at work for `share` of its time, is busy.
        func wakeIfBusy(_ share: Double) {
            guard share >= bounds.busy, let helper = state.withLock({ $0.resting.popLast() }) else { return }
            wakeups[helper].post()
        }

        /// How many helpers rest.
        var restingCount: Int { state.withLock { $0.resting.count } }

        /// Ends all rests for good.
        func stop() {
            let resting = state.withLock { state in
                state.isStopping = true
                defer { state.resting = [] }
                return state.resting
            }
            for helper in resting { wakeups[helper].post() }
        }

        /// Decides for a helper that was at work for `share` of its time.
        func goOn(_ helper: Int, _ share: Double) {
            if share <= bounds.idle { rest(helper) } else { wakeIfBusy(share) }
        }

        /// Waits until it is woken. Called on the helping thread.
        func rest(_ helper: Int) {
            let rests = state.withLock { state in
                guard !state.isStopping else { return false }
                state.resting.append(helper)
                return true
            }
            if rests { wakeups[helper].wait() }
        }
    }
}

/// Waits for the core to do something that it was asked to do. Subclasses handle the answer in
/// ``complete(event:success:)``.
///
/// A tag becomes a pointer when the core is asked, which retains it, and an object again when the answer comes, which
/// releases it. So everything that the core may still use lives long enough. One object may wait for several things at
/// a time: the event's number tells them apart, and travels in the low bits of the pointer.
package class CompletionTag {
    package init() {}

    /// Handles the answer to the request `event`. Runs on a thread of the completion queue and must not block.
    ///
    /// - Parameter success: false when the call or the server has ended instead.
    package func complete(event: UInt8, success: Bool) {
        preconditionFailure("\(type(of: self)) does not complete")
    }

    /// The low bits that hold the event. Heap objects are aligned to 16 bytes, so these bits of their addresses are 0.
    private static let eventMask: UInt = 0b111

    /// The pointer to give to the core. It retains the tag until `redeem` or `forget`.
    final func tag(event: UInt8) -> UnsafeMutableRawPointer? {
        let address = UInt(bitPattern: Unmanaged.passRetained(self).toOpaque())
        return UnsafeMutableRawPointer(bitPattern: address | UInt(event))
    }

    /// Turns a pointer back into its tag, and completes it.
    static func redeem(_ pointer: UnsafeMutableRawPointer, success: Bool) {
        let address = UInt(bitPattern: pointer)
        guard let object = UnsafeRawPointer(bitPattern: address & ~eventMask) else { return }
        let tag = Unmanaged<CompletionTag>.fromOpaque(object).takeRetainedValue()
        tag.complete(event: UInt8(address & eventMask), success: success)
    }

    /// Releases the tag of a pointer that the core refused.
    static func forget(_ pointer: UnsafeMutableRawPointer?) {
        let address = UInt(bitPattern: pointer)
        guard let object = UnsafeRawPointer(bitPattern: address & ~eventMask) else { return }
        Unmanaged<CompletionTag>.fromOpaque(object).release()
    }
}

/// The C core's global state. It is initialized once, before the first queue, server or channel, and kept until the
/// process ends: to shut it down while another thread still uses it is not safe.
enum Core {
    static let started: Void = {
        stopDeadlockSearch()
        grpc_init()
    }()

    /// Stops the search for deadlocks of Abseil, which has the core's mutexes. Debian builds it with the search on: each
    /// lock of any thread then updates a graph behind one lock more. Elsewhere nothing is found, and nothing is done.
    private static func stopDeadlockSearch() {
        for version in 1...20 {
            let namespace = "debian\(version)"
            let name =
                "_ZN4absl\(namespace.utf8.count)\(namespace)29SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE"
            guard let found = dlsym(nil, name) else { continue }
            let ignore: CInt = 0
            unsafeBitCast(found, to: (@convention(c) (CInt) -> Void).self)(ignore)
            return
        }
    }
}
