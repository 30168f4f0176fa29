import Glibc
import SystemPackage

/// What lies at a path, links followed.
enum FileKind {
    case file
    case folder
    case other

    /// Nil when there is nothing, or it may not be looked at.
    init?(at path: FilePath) {
        var information = stat()
        guard stat(path.string, &information) == 0 else { return nil }
        switch information.st_mode & S_IFMT {
        case S_IFREG: self = .file
        case S_IFDIR: self = .folder
        default: self = .other
        }
    }
}
