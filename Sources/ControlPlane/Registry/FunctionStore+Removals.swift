import GRDB

extension FunctionStore {
    /// Marks files for removal until a version in the registry needs them. Marking again renews the time of the mark.
    package func mark(_ removal: Removal) throws(RegistryError) {
        try changed { try Self.mark(removal, $0) }
    }

    private static func mark(_ removal: Removal, _ database: Database) throws {
        try database.execute(
            sql: "INSERT OR REPLACE INTO removal (bundle, name, version, since) VALUES (?, ?, ?, ?)",
            arguments: [removal.bundle, removal.name, removal.version, removal.since])
    }

    /// All marks, the oldest first.
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

    /// Removes marks whose files are gone or needed.
    package func forget(_ removals: [Removal]) throws(RegistryError) {
        guard !removals.isEmpty else { return }
        try changed { database in
            for removal in removals {
                try database.execute(
                    sql: "DELETE FROM removal WHERE bundle = ? AND name = ? AND version = ?",
                    arguments: [removal.bundle, removal.name, removal.version])
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

    /// Removes the marks of versions that are kept, and of the uploads that they use.
    static func unmark(_ versions: [VersionRecord], _ database: Database) throws {
        for version in versions {
            try database.execute(
                sql: "DELETE FROM removal WHERE (name = ? AND version = ?) OR (name = '' AND bundle = ?)",
                arguments: [version.name, version.version, version.bundle])
        }
    }
}

/// A mark in the registry: no version needs these files, or perhaps none ever will. Only marked files are ever removed.
package struct Removal: Sendable, Hashable {
    /// The SHA-256 of the bundle. Empty without a bundle.
    package var bundle: String
    /// The function of which the bundle is a version. Empty for a bundle that was only uploaded.
    package var name: String
    package var version: Int
    /// The time of the mark, in milliseconds since 1970.
    package var since: Int64

    package init(bundle: String, name: String = "", version: Int = 0, since: Int64 = LogTime.now()) {
        self.bundle = bundle
        self.name = name
        self.version = version
        self.since = since
    }

    /// The mark for the files of a version.
    package init(_ version: VersionRecord) {
        self.init(bundle: version.bundle, name: version.name, version: version.version)
    }

    /// Whether this marks a bundle that was uploaded and not deployed since.
    package var isUpload: Bool { name.isEmpty }
}
