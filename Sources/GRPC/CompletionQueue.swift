internal import CGRPC
internal import Glibc
internal import Platform
internal import Synchronization

/// A completion queue of the core with the threads that drain it.
///
/// `shutdown()` ends it: the threads return once every tag has been completed, and the last owner destroys the C queue.
/// Any thread may use it.
///
/// A queue with a helper is drained by a second thread while there is enough work for two. With only one call at a
/// time, two threads would cost time: the thread that wakes up first wakes the other to watch the connections in its
/// place, which was measured to take a tenth of such a call's time.
package final class CompletionQueue: Sendable {
    private let core: CoreQueue
    private let threads: [Thread]
    private let helper: Helper?

    /// - Parameters:
    ///   - name: the threads' name.
    ///   - threads: how many threads handle its events. 0 makes a queue for events of finished work: only `handleEvents()`
    ///     handles them, and the queue takes no part in the input and output of connections.
    ///   - needsHelper: whether there is enough work for another thread. It is asked often, from several threads. Nil
    ///     makes no such thread.
    package init(name: String, threads count: Int, needsHelper: (@Sendable () -> Bool)? = nil) {
        _ = Core.started
        let made = count == 0 ? dcf_completion_queue_create_quiet() : grpc_completion_queue_create_for_next(nil)
        guard let handle = made else {
            preconditionFailure("the gRPC core made no completion queue")
        }
        let core = CoreQueue(handle)
        self.core = core
        let helper = needsHelper.map { Helper(isNeeded: $0) }
        self.helper = helper
        var threads = (0..<count).map { _ in
            Thread(name: name) {
                Self.run(core) { helper?.wakeIfNeeded() }
            }
        }
        if let helper {
            threads.append(
                Thread(name: name) {
                    helper.rest()
                    Self.run(core) { helper.restUnlessNeeded() }
                })
        }
        self.threads = threads
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

    /// Completes on this thread every tag that has its answer, and returns.
    package func handleEvents() {
        let past = gpr_inf_past(GPR_CLOCK_MONOTONIC)
        while true {
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
        helper?.stop()
        for thread in threads { thread.join() }
    }
}

extension CompletionQueue {
    /// Decides when the second thread of a queue works, and when it rests.
    final class Helper: @unchecked Sendable {
        // @unchecked: only the helping thread uses `idleEvents`; the rest is thread-safe.

        /// After how many events in a row that one thread could have handled the helper rests.
        private static let idleEventsMax = 64

        private let isNeeded: @Sendable () -> Bool
        private let isResting = Atomic<Bool>(true)
        private let isStopping = Atomic<Bool>(false)
        private let wakeup = Semaphore()
        private var idleEvents = 0

        init(isNeeded: @escaping @Sendable () -> Bool) {
            self.isNeeded = isNeeded
        }

        /// Ends the rest if there is enough work. Called on the queue's other threads.
        @inline(__always)
        func wakeIfNeeded() {
            guard isResting.load(ordering: .relaxed), isNeeded() else { return }
            wake()
        }

        /// Ends the rest for good.
        func stop() {
            isStopping.store(true, ordering: .sequentiallyConsistent)
            wake()
        }

        private func wake() {
            if isResting.exchange(false, ordering: .acquiringAndReleasing) { wakeup.post() }
        }

        /// Called on the helping thread after each event.
        @inline(__always)
        func restUnlessNeeded() {
            guard !isNeeded() else {
                idleEvents = 0
                return
            }
            idleEvents += 1
            guard idleEvents >= Self.idleEventsMax else { return }
            idleEvents = 0
            isResting.store(true, ordering: .sequentiallyConsistent)
            rest()
        }

        /// Waits until it is woken. Called on the helping thread.
        func rest() {
            // `stop` may have seen the thread at work and then does not post.
            if isStopping.load(ordering: .sequentiallyConsistent) { return isResting.store(false, ordering: .relaxed) }
            wakeup.wait()
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
