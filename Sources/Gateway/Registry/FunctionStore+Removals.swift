import GRDB

extension FunctionStore {
    /// Marks files, until a version of the registry has them; marks again what is marked, from now on.
    package func mark(_ removal: Removal) throws(RegistryError) {
        try explained { queue in try queue.write { try Self.mark(removal, $0) } }
    }

    private static func mark(_ removal: Removal, _ database: Database) throws {
        try database.execute(
            sql: "INSERT OR REPLACE INTO removal (bundle, name, version, since) VALUES (?, ?, ?, ?)",
            arguments: [removal.bundle, removal.name, removal.version, removal.since])
    }

    /// What is marked, the oldest first.
    package func removals() throws(RegistryError) -> [Removal] {
        try explained { queue in
            try queue.read { database in
                try Row.fetchAll(database, sql: "SELECT * FROM removal ORDER BY since").compactMap { row in
                    let values = RowValues(row)
                    guard let bundle = values.text("bundle"), let name = values.text("name"),
                        let version = values.integer("version"), let since = values.integer("since")
                    else { return nil }
                    return Removal(bundle: bundle, name: name, version: Int(version), since: since)
                }
            }
        }
    }

    /// Takes marks away: their files are gone, or needed.
    package func forget(_ removals: [Removal]) throws(RegistryError) {
        guard !removals.isEmpty else { return }
        try explained { queue in
            try queue.write { database in
                for removal in removals {
                    try database.execute(
                        sql: "DELETE FROM removal WHERE bundle = ? AND name = ? AND version = ?",
                        arguments: [removal.bundle, removal.name, removal.version])
                }
            }
        }
    }

    /// Marks the files of versions that are about to be deleted.
    static func mark(_ versions: QueryInterfaceRequest<VersionRecord>, _ database: Database) throws {
        for row in try Row.fetchAll(database, versions) {
            let values = RowValues(row)
            guard let name = values.text("name"), let version = values.integer("version") else { continue }
            try mark(Removal(bundle: values.text("bundle") ?? "", name: name, version: Int(version)), database)
        }
    }

    /// Takes the marks of versions that are kept away, and those of uploads that they have.
    static func unmark(_ versions: [VersionRecord], _ database: Database) throws {
        for version in versions {
            try database.execute(
                sql: "DELETE FROM removal WHERE (name = ? AND version = ?) OR (name = '' AND bundle = ?)",
                arguments: [version.name, version.version, version.bundle])
        }
    }
}
