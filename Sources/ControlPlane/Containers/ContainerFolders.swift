internal import Glibc
internal import Link
internal import Platform

/// The folders below the gateway's data folder that its containers use.
struct ContainerFolders: Sendable {
    /// The folder with the secrets, one file each. The operator puts them there.
    let secrets: String
    /// The copies of secrets for containers that run, one folder for each container.
    private let running: String
    /// The token of each container, for the gateway process that comes after this one.
    private let tokens: String
    private let logs: String
    /// The folder with the socket that watchers in containers dial. It contains nothing else.
    let link: String

    init(dataFolder: String, link: String) {
        secrets = "\(dataFolder)/secrets"
        running = "\(dataFolder)/run/secrets"
        tokens = "\(dataFolder)/run/tokens"
        logs = "\(dataFolder)/logs"
        self.link = link
    }

    /// Removes the tokens and the copies of secrets of all containers but these.
    func remove(except containers: Set<String>) throws(FileError) {
        for folder in [running, tokens] {
            for name in (try? Folder.names(at: folder)) ?? [] where !containers.contains(name) {
                try Folder.remove("\(folder)/\(name)")
            }
        }
    }

    func keep(_ token: LinkToken, of container: String) throws(FileError) {
        try Folder.make(tokens)
        chmod(tokens, 0o700)
        try WholeFile.replace("\(tokens)/\(container)", with: Array(token.text.utf8), mode: 0o600)
    }

    /// The token of a container of an earlier gateway process; nil when there is none.
    func token(of container: String) -> LinkToken? {
        guard !container.contains("/"), let bytes = try? WholeFile.read("\(tokens)/\(container)", limit: 1_024) else {
            return nil
        }
        return LinkToken(text: String(decoding: bytes, as: UTF8.self))
    }

    /// Copies secrets for one container. Other users of this machine cannot reach the copies, because the data folder
    /// is closed to them. In the container, every user can read them.
    ///
    /// - Returns: the folder with the copies.
    func copySecrets(_ names: [String], for container: String) throws(FileError) -> String {
        let folder = "\(running)/\(container)"
        try Folder.make(folder)
        chmod(folder, 0o755)
        for name in names {
            let content = try WholeFile.read("\(secrets)/\(name)", limit: Self.secretBytesMax)
            try WholeFile.replace("\(folder)/\(name)", with: content, mode: 0o444)
            chmod("\(folder)/\(name)", 0o444)
        }
        return folder
    }

    func remove(for container: String) throws(FileError) {
        try Folder.remove("\(running)/\(container)")
        try Folder.remove("\(tokens)/\(container)")
    }

    /// When a function's log was last written to, in milliseconds since 1970; nil when there is no log.
    func lastLine(of function: String) -> Int64? {
        var status = stat()
        guard stat("\(logs)/\(function)/log", &status) == 0 else { return nil }
        return Int64(status.st_mtim.tv_sec) * 1_000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
    }

    /// The first of these secrets that has no file; nil when all have one.
    func missing(of names: [String]) -> String? {
        names.first { access("\(secrets)/\($0)", R_OK) != 0 }
    }

    private static let secretBytesMax = 1 << 20
}
