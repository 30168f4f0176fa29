/// A function as the registry keeps it: itself, and its versions.
package struct StoredFunction: Sendable, Equatable {
    package var function: FunctionRecord
    /// The oldest first.
    package var versions: [VersionRecord]

    package init(_ function: FunctionRecord, versions: [VersionRecord]) {
        self.function = function
        self.versions = versions
    }
}
