/// A function as the registry keeps it: itself, and its versions.
package struct StoredFunction: Sendable, Equatable {
    package var function: FunctionRecord
    /// The oldest first.
    package var versions: [VersionRecord]
    /// What is wrong with its row, or with what its rows say together; it cannot run then.
    package var problem: String?
    /// What is wrong with the rows of versions, by number; these cannot run.
    package var versionProblems: [Int: String] = [:]

    package init(_ function: FunctionRecord, versions: [VersionRecord]) {
        self.function = function
        self.versions = versions
    }

    package var hasProblem: Bool { problem != nil || !versionProblems.isEmpty }
}
