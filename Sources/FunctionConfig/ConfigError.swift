/// A fault in a config and its place: `config.yaml:12: unknown key "replica" under functions.echo`.
package struct ConfigError: Error, Equatable, Sendable, CustomStringConvertible {
    package let file: String
    /// The line, from 1. Nil if the fault belongs to no line.
    package let line: Int?
    package let message: String

    package init(file: String, line: Int?, message: String) {
        self.file = file
        self.line = line
        self.message = message
    }

    package var description: String {
        if let line { "\(file):\(line): \(message)" } else { "\(file): \(message)" }
    }
}
