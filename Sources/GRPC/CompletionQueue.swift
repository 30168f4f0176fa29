internal import CGRPC

/// A completion queue of the core with the threads that drain it.
///
/// The one owner of the C queue. `shutdown()` ends it: after every tag has been completed the threads return and the
/// queue is destroyed.
///
/// One that has a helper is drained by a second thread while there is enough to do for two. With both at a single call
/// after another, the one that wakes up wakes the other to watch the connections in its place before it reads, which was
/// measured to take a tenth of such a call's time.
package final class CompletionQueue: @unchecked Sendable {
    // @unchecked: the pointer is set once, and the core's queue may be used from any thread.
    let handle: OpaquePointer
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
        self.handle = handle
        nonisolated(unsafe) let queue = handle
        let helper = needsHelper.map { Helper(isNeeded: $0) }
        self.helper = helper
        var threads = (0..<count).map { _ in
            Thread(name: name) {
                Self.run(queue) { helper?.wakeIfNeeded() }
            }
        }
        if let helper {
            threads.append(
                Thread(name: name) {
                    helper.rest()
                    Self.run(queue) { helper.restUnlessNeeded() }
                })
        }
        self.threads = threads
    }

    deinit {
        grpc_completion_queue_destroy(handle)
    }

    /// - Parameter afterEach: called after each event.
    private static func run(_ queue: OpaquePointer, afterEach: () -> Void = {}) {
        // Never times out: the queue's end is an event of its own.
        let never = gpr_inf_future(GPR_CLOCK_MONOTONIC)
        while true {
            let event = grpc_completion_queue_next(queue, never, nil)
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

    /// Ends the queue and waits for its threads. Whatever posts to it must have ended before (a server, its calls).
    package func shutdown() {
        grpc_completion_queue_shutdown(handle)
        guard !threads.isEmpty else {
            Self.run(handle)
            return
        }
        helper?.stop()
        for thread in threads { thread.join() }
    }
}
