/// Which rows of one function could not be used when they were read.
struct DamagedRows: Sendable, Equatable {
    /// Whether the function's own could not.
    var function = false
    /// The numbers of the versions whose rows could not.
    var versions: Set<Int> = []
}
