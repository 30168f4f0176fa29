/// Why a function's record cannot be read: a clause about the file.
package struct RecordProblem: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String
}
