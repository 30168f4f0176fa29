import Glibc
import SystemPackage

/// Finds `dcf-watcher`: beside this program, in the folders of an installation, or on the PATH.
enum WatcherProgram {
    static let name = "dcf-watcher"

    static func find() throws(CommandFailure) -> FilePath {
        let places = candidates(executable: FilePath("/proc/self/exe").real, path: ProcessEnvironment["PATH"] ?? "")
        guard let found = places.first(where: { access($0.string, X_OK) == 0 }) else {
            throw CommandFailure(
                "cannot find \(name); put it beside dcf, in ../libexec, in ../lib/dcf, or on the PATH")
        }
        return found
    }

    static func candidates(executable: FilePath, path: String) -> [FilePath] {
        let directory = executable.removingLastComponent()
        let above = directory.removingLastComponent()
        var places = [directory, above.appending("libexec"), above.appending("lib").appending("dcf")]
        // A relative entry of the PATH depends on the current folder.
        places += path.split(separator: ":").filter { $0.hasPrefix("/") }.map { FilePath(String($0)) }
        return places.map { $0.appending(name) }
    }
}
