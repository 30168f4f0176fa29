import ArgumentParser
import Glibc

/// Where the programs lie beside each other.
enum Programs {
    /// The path of `dcf-watcher`: beside this program, or in ../libexec or ../lib/dcf.
    static func watcher() throws -> String {
        guard let own = realpath("/proc/self/exe", nil) else { throw ValidationError("/proc is not there") }
        defer { free(own) }
        let path = String(cString: own)
        let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        for place in ["\(folder)", "\(folder)/../libexec", "\(folder)/../lib/dcf"] {
            let candidate = "\(place)/dcf-watcher"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        throw ValidationError("dcf-watcher is not beside \(path), nor in ../libexec or ../lib/dcf; install it there")
    }

    /// A path that no change of folder changes.
    static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return "\(String(cString: folder))/\(path)"
    }
}
