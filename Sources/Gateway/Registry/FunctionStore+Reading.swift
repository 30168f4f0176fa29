import GRDB
import Locks

extension FunctionStore {
    /// Every function, by name.
    ///
    /// - Parameter unnamed: gets a sentence for each row that names no function.
    package func all(unnamed: (String) -> Void = { _ in }) throws(RegistryError) -> [StoredFunction] {
        var sentences: [String] = []
        let found = try explained { queue in
            try queue.read { database in
                StoredRows.functions(
                    try Row.fetchAll(database, sql: "SELECT * FROM function"),
                    versions: try Row.fetchAll(database, sql: "SELECT * FROM version"),
                    unnamed: { sentences.append($0) })
            }
        }
        for sentence in sentences { unnamed(sentence) }
        let damaged = found.filter(\.hasProblem).map { stored in
            (
                stored.function.name,
                DamagedRows(function: stored.problem != nil, versions: Set(stored.versionProblems.keys))
            )
        }
        self.damaged.withLock { $0 = Dictionary(uniqueKeysWithValues: damaged) }
        return found
    }

    package func function(named name: String) throws(RegistryError) -> StoredFunction? {
        try all().first { $0.function.name == name }
    }

    /// Whether the function's own row could not be used when it was read, and was not written since.
    package func hasDamagedRow(_ name: String) -> Bool {
        damaged.withLock { $0[name]?.function ?? false }
    }

    /// The versions of a function whose rows could not be used when they were read.
    package func damagedVersions(of name: String) -> Set<Int> {
        damaged.withLock { $0[name]?.versions ?? [] }
    }
}
