/// A Python with a function's requirements installed, ready to run watchers.
package struct PythonEnvironment: Sendable, Hashable {
    /// What to execute.
    package let python: String
    package let version: PythonVersion
    /// The name of its folder in the cache; nil where the interpreter itself is the environment.
    package let key: String?
    /// Whether this call built it.
    package let wasBuilt: Bool
}
