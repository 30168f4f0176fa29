import Glibc

/// The environment variables of this process.
enum ProcessEnvironment {
    static subscript(name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    /// `$HOME`. Nil if it is not an absolute path.
    static var home: String? {
        self["HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
    }
}
