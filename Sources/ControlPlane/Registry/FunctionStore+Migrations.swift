import GRDB

extension FunctionStore {
    /// The changes of the tables, release by release.
    static var migrator: DatabaseMigrator {
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
        migrator.registerMigration("5 removals", foreignKeyChecks: .immediate) { database in
            try database.create(table: "removal", options: .strict) { table in
                table.column("bundle", .text).notNull()
                table.column("name", .text).notNull()
                table.column("version", .integer).notNull()
                table.column("since", .integer).notNull()
                table.primaryKey(["bundle", "name", "version"])
            }
        }
        return migrator
    }

    /// Moves versions into a table of their own. Until then a function had one version, which gets all calls.
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
}
