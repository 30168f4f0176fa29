internal import CGRPC

/// A completion queue of the core with the threads that drain it.
///
/// `shutdown()` ends it: after every tag has been completed the threads return, and the last of them and of this object
/// destroys the C queue.
///
/// One that has a helper is drained by a second thread while there is enough to do for two. With both at a single call
/// after another, the one that wakes up wakes the other to watch the connections in its place before it reads, which was
/// measured to take a tenth of such a call's time.
package final class CompletionQueue: Sendable {
    private let core: CoreQueue
    private let threads: [Thread]
    private let helper: Helper?

    /// - Parameter threads: how many threads drain it; 0 for a queue of finished work that is drained by `drain()`
    ///   alone, and does nothing for the connections.
    /// - Parameter needsHelper: whether there is enough to do for another thread; asked often, from several threads. Nil for no
    ///   such thread.
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

    /// The C queue. Its threads own it too: the last reference to a channel, and with it to its queue, may go on one of them.
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

    /// - Parameter afterEach: called after each event.
    private static func run(_ queue: CoreQueue, afterEach: () -> Void = {}) {
        // Never times out: the queue's end is an event of its own.
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

    /// Completes what is complete already, on this thread, and returns.
    package func drain() {
        let past = gpr_inf_past(GPR_CLOCK_MONOTONIC)
        while true {
            let event = grpc_completion_queue_next(handle, past, nil)
            guard event.type == GRPC_OP_COMPLETE else { return }
            CompletionTag.redeem(event.tag, success: event.success != 0)
        }
    }

    /// Ends the queue and waits for its threads, except on one of them. Whatever posts to it must have ended before (a server, its calls).
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
