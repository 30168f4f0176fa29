internal import Locks

/// Where long-lived work that begins in the middle of things runs: a group of tasks that the gateway waits for.
final class TaskPool: Sendable {
    typealias Job = @Sendable () async -> Void

    private let jobs: AsyncStream<Job>
    private let feed: AsyncStream<Job>.Continuation

    init() {
        (jobs, feed) = AsyncStream.makeStream(of: Job.self)
    }

    /// Starts `job` beside all others.
    func add(_ job: @escaping Job) {
        assertNoLockIsHeld()
        feed.yield(job)
    }

    /// Takes no more jobs; `run` returns when those under way have ended.
    func finish() {
        assertNoLockIsHeld()
        feed.finish()
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            for await job in jobs {
                group.addTask { await job() }
            }
        }
    }
}
