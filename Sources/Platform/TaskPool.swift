/// A group of tasks for long-lived work that may begin at any time. The gateway runs the group and waits for it at its
/// end. Any thread may add a job.
package final class TaskPool: Sendable {
    package typealias Job = @Sendable () async -> Void

    private let jobs: AsyncStream<Job>
    private let feed: AsyncStream<Job>.Continuation

    package init() {
        (jobs, feed) = AsyncStream.makeStream(of: Job.self)
    }

    /// Starts `job` beside the other jobs.
    package func add(_ job: @escaping Job) {
        assertNoLockIsHeld()
        feed.yield(job)
    }

    /// Takes no more jobs: `run` returns when the jobs under way have ended.
    package func finish() {
        assertNoLockIsHeld()
        feed.finish()
    }

    /// Runs the jobs until `finish` was called and all jobs have ended.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for await job in jobs {
                group.addTask { await job() }
            }
        }
    }
}
