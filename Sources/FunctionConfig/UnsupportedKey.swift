/// A key that the schema knows and that cannot be deployed yet.
package struct UnsupportedKey: Sendable, Equatable {
    /// With its path: `functions.echo.batch`.
    package let key: String
    /// From 1, in the text it was read from.
    package let line: Int
    /// The whole sentence.
    package let message: String
}
