import FunctionConfig

/// Why a command failed: one or more sentences for standard error. The exit status is 1.
struct CommandFailure: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    init(_ error: ConfigError) {
        description = error.description
    }
}
