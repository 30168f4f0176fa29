/// Returns when one of the two has ended; the other is cancelled, and waited for.
func race(_ one: @escaping @Sendable () async -> Void, _ other: @escaping @Sendable () async -> Void) async {
    await withTaskGroup(of: Void.self) { group in
        group.addTask { await one() }
        group.addTask { await other() }
        await group.next()
        group.cancelAll()
    }
}

/// Returns when `body` has ended; after `limit` it is cancelled, and waited for.
func within(_ limit: Duration, _ body: @escaping @Sendable () async -> Void) async {
    await race(body) { try? await Task.sleep(for: limit) }
}
