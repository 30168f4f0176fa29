import Glibc

/// The environment variables of this process.
enum Environment {
    /// Nil when the variable is not set, or empty.
    static subscript(name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
