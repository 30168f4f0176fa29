package import Platform

extension TaskPool {
    /// Runs `work` while the pool runs, and returns when all jobs that `work` added have ended.
    package func serving<Result: Sendable>(_ work: @Sendable () async throws -> Result) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.run() }
            let result: Swift.Result<Result, any Error>
            do { result = .success(try await work()) } catch { result = .failure(error) }
            finish()
            try await group.waitForAll()
            return try result.get()
        }
    }
}
