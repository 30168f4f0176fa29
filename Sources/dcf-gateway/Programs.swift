import ArgumentParser
import Glibc

/// Finds the programs of an installation.
enum Programs {
    /// The path of `dcf-watcher`: beside this program, or in ../libexec or ../lib/dcf.
    static func watcher() throws -> String {
        guard let own = realpath("/proc/self/exe", nil) else {
            throw ValidationError("/proc/self/exe cannot be read; mount /proc")
        }
        defer { free(own) }
        let path = String(cString: own)
        let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        for place in ["\(folder)", "\(folder)/../libexec", "\(folder)/../lib/dcf"] {
            let candidate = "\(place)/dcf-watcher"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        throw ValidationError("dcf-watcher is not beside \(path), nor in ../libexec or ../lib/dcf; install it there")
    }

    /// The absolute path for a path in the current folder.
    static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return "\(String(cString: folder))/\(path)"
    }
}
