import GRDB
import Locks

/// The deployed functions, in SQLite. What a call of this type has returned from is on the disk.
///
/// A row that cannot be used is a problem of its function alone, and stays as it is until its function is changed. Every call
/// blocks for as long as the disk takes; safe to use from any thread.
package final class FunctionStore: Sendable {
    package let path: String
    private let queue: DatabaseQueue
    /// The rows that could not be used when they were last read.
    let damaged = Lock<[String: DamagedRows]>([:])

    /// Opens the registry, making it or bringing its tables up to date first.
    package init(path: String) throws(RegistryError) {
        self.path = path
        queue = try Self.explained(path) {
            var configuration = Configuration()
            configuration.journalMode = .wal
            configuration.label = "registry"
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            // WAL mode comes with NORMAL, which may lose what was committed last when the power goes.
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
        // Rows are found by these; without them nothing that is written would be sure.
        let keys = try explained { queue in
            try queue.read { [try $0.primaryKey("function").columns, try $0.primaryKey("version").columns] }
        }
        guard keys == [["name"], ["name", "version"]] else {
            throw .damaged(path: path, reason: "its tables are not as dcf-gateway makes them")
        }
        // Versions whose function has no row get one; where it cannot be written, the function is there all the same.
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

    /// Makes what is kept of a function this, all of it or nothing: versions that are not here any more are gone, and marked so
    /// that their files go, too. The count of its invocations is left alone where there is one. Of a version whose row cannot be
    /// used only what may change is written.
    package func save(_ stored: StoredFunction) throws(RegistryError) {
        let name = stored.function.name
        let rows = damaged.withLock { $0[name] } ?? DamagedRows()
        // What is shown in place of a version that has no number is never written.
        let versions = stored.versions.filter { $0.version > 0 }
        try explained { queue in
            try queue.write { database in
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

    /// Whether there was one. The files of its versions are marked, so that they go.
    @discardableResult
    package func delete(_ name: String) throws(RegistryError) -> Bool {
        let wasThere = try explained { queue in
            try queue.write { database in
                let versions = VersionRecord.filter(Column("name") == name)
                try Self.mark(versions, database)
                let count = try versions.deleteAll(database)
                return try FunctionRecord.deleteOne(database, key: name) || count > 0
            }
        }
        damaged.withLock { $0[name] = nil }
        checkpoint()
        return wasThere
    }

    /// Moves what was committed into the registry's own file and empties the write-ahead log, which is all that a damaged log
    /// can lose then. Where that cannot be done, the log has it.
    package func checkpoint() {
        try? explained { queue in
            try queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
        }
    }

    /// Adds to the counts, all or none; functions that are no longer there are passed over.
    package func addInvocations(_ counts: [String: UInt64]) throws(RegistryError) {
        try explained { queue in
            try queue.write { database in
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
    }

    /// What SQLite says of how far it goes to keep a commit; 2 is FULL.
    package func synchronousMode() throws(RegistryError) -> Int {
        try explained { queue in
            try queue.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 }
        }
    }

    package func close() throws(RegistryError) {
        checkpoint()
        try explained { queue in try queue.close() }
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
