import Glibc

/// The environment that `dcf` was started with.
enum ProcessEnvironment {
    static subscript(name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    /// `$HOME`, or nil where it is not an absolute path.
    static var home: String? {
        self["HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
    }
}
