import Glibc

/// This process's variables.
enum Environment {
    /// Nil when there is none, or nothing in it.
    static subscript(name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
