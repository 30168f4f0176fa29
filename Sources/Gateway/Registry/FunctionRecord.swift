import GRDB

/// What the registry keeps of one deployed function, beside its versions.
package struct FunctionRecord: Sendable, Equatable, Codable {
    package var name: String
    /// Calls that came, as of the last time that counts were written.
    package var invocations: UInt64
    /// Milliseconds since 1970.
    package var createdAt: Int64
    package var updatedAt: Int64

    package init(name: String, invocations: UInt64 = 0, createdAt: Int64, updatedAt: Int64) {
        self.name = name
        // The database's integers have one bit less.
        self.invocations = min(invocations, UInt64(Int64.max))
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

extension FunctionRecord: FetchableRecord, PersistableRecord {
    package static let databaseTableName = "function"
}
