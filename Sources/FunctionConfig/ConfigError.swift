/// What is wrong in a config, and where: `config.yaml:12: unknown key "replica" under functions.echo`.
package struct ConfigError: Error, Equatable, Sendable, CustomStringConvertible {
    package let file: String
    /// From 1; nil when no line is to blame.
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
