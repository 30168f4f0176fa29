import GRDB
import Platform

/// The registry: the deployed functions, in SQLite. When a call that changes something returns, the change is on the
/// disk.
///
/// A row that cannot be used is a problem of its function only, and stays as it is until the function is changed. Safe
/// to use from any thread. Every call blocks for as long as the disk takes.
package final class FunctionStore: Sendable {
    package let path: String
    private let queue: DatabaseQueue
    /// The rows that could not be used when they were last read, for each function.
    private let damaged = Lock<[String: DamagedRows]>([:])
    private let onCommit: @Sendable () -> Void

    /// Opens the registry. Makes it, or brings its tables up to date, if necessary.
    ///
    /// - Parameter onCommit: called after each change, on the thread that made it, before the result of the change is
    ///   returned.
    package init(path: String, onCommit: @escaping @Sendable () -> Void = {}) throws(RegistryError) {
        self.path = path
        self.onCommit = onCommit
        queue = try Self.explained(path) {
            var configuration = Configuration()
            configuration.journalMode = .wal
            configuration.label = "registry"
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            // In WAL mode the default is NORMAL, which may lose the last commit when the power fails.
            try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            return queue
        }
        let found = try explained { queue in
            try queue.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") ?? "no answer" }
        }
        guard found == "ok" else { throw RegistryError(path: path, check: found) }
        let migrator = Self.migrator
        guard try !explained({ queue in try queue.read { try migrator.hasBeenSuperseded($0) } }) else {
            throw .newer(path: path)
        }
        try explained { queue in try migrator.migrate(queue) }
        // Rows are found by these keys. Without them no write would be reliable.
        let keys = try explained { queue in
            try queue.read { [try $0.primaryKey("function").columns, try $0.primaryKey("version").columns] }
        }
        guard keys == [["name"], ["name", "version"]] else {
            throw .damaged(path: path, reason: "its tables are not as dcf-gateway makes them")
        }
        // Versions whose function has no row get one. If it cannot be written, reading still shows the function.
        try? explained { queue in
            try queue.write {
                try $0.execute(
                    sql: """
                        INSERT INTO function (name, invocations, createdAt, updatedAt)
                            SELECT name, 0, min(createdAt), max(createdAt) FROM version
                            WHERE typeof(name) = 'text' AND name NOT IN (SELECT name FROM function) GROUP BY name
                        """)
            }
        }
    }

    /// Replaces the rows of a function, all or none. The rows of versions that are not in `stored` are deleted, and
    /// their files are marked for removal. If the function has a row, its count of calls stays as it is. If the row of
    /// a version cannot be used, only the columns that may change are written.
    package func save(_ stored: StoredFunction) throws(RegistryError) {
        let name = stored.function.name
        let rows = damaged.withLock { $0[name] } ?? DamagedRows()
        // A version without a number is a stand-in and is never written.
        let versions = stored.versions.filter { $0.version > 0 }
        try changed { database in
            try Self.write(stored.function, isDamaged: rows.function, database)
            let kept = versions.map(\.version)
            let gone = VersionRecord.filter(Column("name") == name && !kept.contains(Column("version")))
            try Self.mark(gone, database)
            try gone.deleteAll(database)
            for version in versions {
                if try !version.exists(database) {
                    try version.insert(database)
                } else if rows.versions.contains(version.version) {
                    try version.update(database, columns: VersionRecord.changing)
                } else {
                    try version.update(database)
                }
            }
            try Self.unmark(versions, database)
        }
        damaged.withLock { damaged in
            let left = rows.versions.intersection(versions.map(\.version))
            damaged[name] = left.isEmpty ? nil : DamagedRows(versions: left)
        }
        checkpoint()
    }

    private static func write(_ function: FunctionRecord, isDamaged: Bool, _ database: Database) throws {
        guard try function.exists(database) else { return try function.insert(database) }
        let columns = ["createdAt", "updatedAt"] + (isDamaged ? ["invocations"] : [])
        try function.update(database, columns: columns)
    }

    /// Deletes a function, and marks the files of its versions for removal.
    ///
    /// - Returns: whether the function existed.
    @discardableResult
    package func delete(_ name: String) throws(RegistryError) -> Bool {
        let wasThere = try changed { database in
            let versions = VersionRecord.filter(Column("name") == name)
            try Self.mark(versions, database)
            let count = try versions.deleteAll(database)
            return try FunctionRecord.deleteOne(database, key: name) || count > 0
        }
        damaged.withLock { $0[name] = nil }
        checkpoint()
        return wasThere
    }

    /// Moves commits from the write-ahead log into the registry's main file and empties the log, so that a damaged log
    /// can lose nothing. If this fails, the commits stay in the log.
    package func checkpoint() {
        try? explained { queue in
            try queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
        }
    }

    /// Adds to the counts of calls, all or none. Functions that no longer exist are skipped.
    package func addCalls(_ counts: [String: UInt64]) throws(RegistryError) {
        try changed { database in
            for (name, count) in counts where count > 0 {
                let count = Int64(clamping: count)
                try database.execute(
                    sql: """
                        UPDATE function SET invocations = invocations + min(?, 9223372036854775807 - invocations)
                        WHERE name = ?
                        """,
                    arguments: [count, name])
            }
        }
    }

    /// SQLite's value of `synchronous`: how much it does to keep a commit. 2 is FULL.
    package func synchronousMode() throws(RegistryError) -> Int {
        try explained { queue in
            try queue.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 }
        }
    }

    package func close() throws(RegistryError) {
        checkpoint()
        try explained { queue in try queue.close() }
    }

    /// Changes the registry in one transaction.
    func changed<Result>(_ work: (Database) throws -> Result) throws(RegistryError) -> Result {
        let result = try explained { try $0.write(work) }
        onCommit()
        return result
    }

    func explained<Result>(_ work: (DatabaseQueue) throws -> Result) throws(RegistryError) -> Result {
        let queue = queue
        return try Self.explained(path) { try work(queue) }
    }

    private static func explained<Result>(_ path: String, _ work: () throws -> Result) throws(RegistryError) -> Result {
        do {
            return try work()
        } catch let error as DatabaseError {
            throw RegistryError(path: path, error)
        } catch {
            throw .failed(path: path, reason: "\(error)")
        }
    }
}

// MARK: Reading

extension FunctionStore {
    /// All functions, sorted by name.
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

    /// Whether the function's own row could not be used when it was read, and has not been written since.
    package func hasDamagedRow(_ name: String) -> Bool {
        damaged.withLock { $0[name]?.function ?? false }
    }

    /// The versions of a function whose rows could not be used when they were read.
    package func damagedVersions(of name: String) -> Set<Int> {
        damaged.withLock { $0[name]?.versions ?? [] }
    }
}

/// The rows of one function that could not be used when they were read.
struct DamagedRows: Sendable, Equatable {
    /// Whether the function's own row could not be used.
    var function = false
    /// The numbers of the versions whose rows could not be used.
    var versions: Set<Int> = []
}
