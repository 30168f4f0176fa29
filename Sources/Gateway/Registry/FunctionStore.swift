import GRDB

/// The deployed functions, in SQLite. What a call of this type has returned from is on the disk.
///
/// Every call blocks for as long as the disk takes; safe to use from any thread.
package final class FunctionStore: Sendable {
    package let path: String
    private let queue: DatabaseQueue

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
        guard found == "ok" else { throw .damaged(path: path, reason: found) }
        let migrator = Self.migrator
        guard try !explained({ queue in try queue.read { try migrator.hasBeenSuperseded($0) } }) else {
            throw .newer(path: path)
        }
        try explained { queue in try migrator.migrate(queue) }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 functions") { database in
            try database.create(table: "function", options: .strict) { table in
                table.primaryKey("name", .text)
                table.column("version", .integer).notNull()
                table.column("image", .text).notNull()
                table.column("config", .text).notNull()
                table.column("bundle", .text).notNull()
                table.column("labels", .text).notNull()
                table.column("annotations", .text).notNull()
                table.column("environment", .text).notNull()
                table.column("replicas", .integer).notNull()
                table.column("invocations", .integer).notNull()
                table.column("createdAt", .integer).notNull()
                table.column("updatedAt", .integer).notNull()
            }
        }
        migrator.registerMigration("2 versions", migrate: addVersions)
        migrator.registerMigration("3 images") { database in
            try database.alter(table: "version") { table in
                table.add(column: "deploy", .text).notNull().defaults(to: "process")
                table.add(column: "imageID", .text).notNull().defaults(to: "")
                table.add(column: "imageUser", .text).notNull().defaults(to: "")
                table.add(column: "imageVariables", .text).notNull().defaults(to: "[]")
                table.add(column: "secrets", .text).notNull().defaults(to: "[]")
            }
        }
        migrator.registerMigration("4 services") { database in
            try database.alter(table: "version") { table in
                table.add(column: "imageReference", .text).notNull().defaults(to: "")
                table.add(column: "imageArchitecture", .text).notNull().defaults(to: "")
                table.add(column: "constraints", .text).notNull().defaults(to: "[]")
            }
        }
        return migrator
    }

    /// Versions become rows of their own. A function had one until now, which gets all calls.
    private static func addVersions(_ database: Database) throws {
        try database.rename(table: "function", to: "functionBefore")
        try database.create(table: "function", options: .strict) { table in
            table.primaryKey("name", .text)
            table.column("invocations", .integer).notNull()
            table.column("createdAt", .integer).notNull()
            table.column("updatedAt", .integer).notNull()
        }
        try database.create(table: "version", options: .strict) { table in
            table.column("name", .text).notNull().references("function", onDelete: .cascade)
            table.column("version", .integer).notNull()
            table.column("image", .text).notNull()
            table.column("config", .text).notNull()
            table.column("bundle", .text).notNull()
            table.column("labels", .text).notNull()
            table.column("annotations", .text).notNull()
            table.column("environment", .text).notNull()
            table.column("replicasMin", .integer).notNull()
            table.column("replicasMax", .integer).notNull()
            table.column("traffic", .integer).notNull()
            table.column("createdAt", .integer).notNull()
            table.primaryKey(["name", "version"])
        }
        try database.execute(
            sql: """
                INSERT INTO function (name, invocations, createdAt, updatedAt)
                    SELECT name, invocations, createdAt, updatedAt FROM functionBefore;
                INSERT INTO version (name, version, image, config, bundle, labels, annotations, environment,
                                     replicasMin, replicasMax, traffic, createdAt)
                    SELECT name, version, image, config, bundle, labels, annotations, environment,
                           replicas, replicas, 100, updatedAt FROM functionBefore;
                DROP TABLE functionBefore;
                """)
    }

    /// Every function, by name.
    package func all() throws(RegistryError) -> [StoredFunction] {
        try explained { queue in
            try queue.read { database in
                let versions = try VersionRecord.order(Column("version")).fetchAll(database)
                let ofFunction = Dictionary(grouping: versions, by: \.name)
                return try FunctionRecord.order(Column("name")).fetchAll(database).map {
                    StoredFunction($0, versions: ofFunction[$0.name] ?? [])
                }
            }
        }
    }

    package func function(named name: String) throws(RegistryError) -> StoredFunction? {
        try explained { queue in
            try queue.read { database in
                guard let function = try FunctionRecord.fetchOne(database, key: name) else { return nil }
                let versions = VersionRecord.filter(Column("name") == name).order(Column("version"))
                return StoredFunction(function, versions: try versions.fetchAll(database))
            }
        }
    }

    /// Makes what is kept of a function this, all of it or nothing: versions that are not here any more are gone. The count
    /// of its invocations is left alone where there is one, and so is what cannot change of a version.
    package func save(_ stored: StoredFunction) throws(RegistryError) {
        try explained { queue in
            try queue.write { database in
                let function = stored.function
                if try function.exists(database) {
                    try function.update(database, columns: ["createdAt", "updatedAt"])
                } else {
                    try function.insert(database)
                }
                let kept = stored.versions.map(\.version)
                try VersionRecord.filter(Column("name") == function.name && !kept.contains(Column("version")))
                    .deleteAll(database)
                for version in stored.versions {
                    if try version.exists(database) {
                        try version.update(database, columns: VersionRecord.changing)
                    } else {
                        try version.insert(database)
                    }
                }
            }
        }
    }

    /// Whether there was one.
    @discardableResult
    package func delete(_ name: String) throws(RegistryError) -> Bool {
        try explained { queue in try queue.write { try FunctionRecord.deleteOne($0, key: name) } }
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
        try explained { queue in try queue.close() }
    }

    private func explained<Result>(_ work: (DatabaseQueue) throws -> Result) throws(RegistryError) -> Result {
        let queue = queue
        return try Self.explained(path) { try work(queue) }
    }

    private static func explained<Result>(_ path: String, _ work: () throws -> Result) throws(RegistryError) -> Result {
        do {
            return try work()
        } catch let error as DatabaseError {
            switch error.resultCode {
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: throw .damaged(path: path, reason: error.message ?? "\(error)")
            case .SQLITE_FULL: throw .diskFull(path: path)
            default: throw .failed(path: path, reason: error.message ?? "\(error)")
            }
        } catch let error as RowDecodingError {
            throw .damaged(path: path, reason: "\(error)")
        } catch {
            throw .failed(path: path, reason: "\(error)")
        }
    }
}
