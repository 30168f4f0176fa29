import GRDB

/// A function as the registry holds it: the function itself, and its versions.
package struct StoredFunction: Sendable, Equatable {
    package var function: FunctionRecord
    /// The versions, sorted by number.
    package var versions: [VersionRecord]
    /// What is wrong with the function's row, or with its rows together. Then the function cannot run.
    package var problem: String?
    /// What is wrong with the rows of versions, by number. These versions cannot run.
    package var versionProblems: [Int: String] = [:]

    package init(_ function: FunctionRecord, versions: [VersionRecord]) {
        self.function = function
        self.versions = versions
    }

    package var hasProblem: Bool { problem != nil || !versionProblems.isEmpty }
}

/// What the registry holds of one deployed function, beside its versions.
package struct FunctionRecord: Sendable, Equatable, Codable {
    package var name: String
    /// How many calls had come when the counts were last written.
    package var invocations: UInt64
    /// Milliseconds since 1970.
    package var createdAt: Int64
    package var updatedAt: Int64

    package init(name: String, invocations: UInt64 = 0, createdAt: Int64, updatedAt: Int64) {
        self.name = name
        // The integers of the database have one bit less.
        self.invocations = min(invocations, UInt64(Int64.max))
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

extension FunctionRecord: FetchableRecord, PersistableRecord {
    package static let databaseTableName = "function"
}
