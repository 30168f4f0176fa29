/// Why the registry cannot be opened, read or written.
package enum RegistryError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Its tables were made by a later version of this program.
    case newer(path: String)
    case damaged(path: String, reason: String)
    case diskFull(path: String)
    case failed(path: String, reason: String)

    package var description: String {
        switch self {
        case .newer(let path):
            "the registry \(path) was written by a newer dcf-gateway; start that one, or another data folder with --data-dir"
        case .damaged(let path, let reason):
            """
            the registry \(path) is damaged (\(reason)); move it and its -wal and -shm files away to start with an empty one, \
            then deploy the functions again
            """
        case .diskFull(let path):
            "the registry \(path) cannot be written: the disk is full"
        case .failed(let path, let reason):
            "the registry \(path) cannot be used: \(reason)"
        }
    }
}
