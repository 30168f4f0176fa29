/// One entry of `environment` (or `build_args`) in the config: `NAME=VALUE`.
package struct EnvironmentVariable: Sendable, Equatable {
    package let name: String
    package let value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}
