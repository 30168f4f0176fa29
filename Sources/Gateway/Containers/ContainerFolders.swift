internal import Environments
internal import Glibc

/// What of the gateway's data folder its containers see.
struct ContainerFolders: Sendable {
    /// Where people put secrets: a file each.
    let secrets: String
    /// Copies for those that run, in a folder each.
    private let running: String
    /// The token of each container, for a gateway that comes after this one.
    private let tokens: String
    private let logs: String
    /// Holds the socket that watchers in containers dial, and nothing else.
    let link: String

    init(dataFolder: String, link: String) {
        secrets = "\(dataFolder)/secrets"
        running = "\(dataFolder)/run/secrets"
        tokens = "\(dataFolder)/run/tokens"
        logs = "\(dataFolder)/logs"
        self.link = link
    }

    /// Removes what a gateway before this one left, but for these containers.
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

    /// Nil where none was kept.
    func token(of container: String) -> LinkToken? {
        guard !container.contains("/"), let bytes = try? WholeFile.read("\(tokens)/\(container)", limit: 1_024) else {
            return nil
        }
        return LinkToken(text: String(decoding: bytes, as: UTF8.self))
    }

    /// Copies secrets for one container. Others on this machine cannot reach the copies: the data folder is closed to them;
    /// in the container whoever it runs as can read them.
    ///
    /// - Returns: the folder.
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

    /// When a function's log was last written to, in milliseconds since 1970; nil where there is none.
    func lastLine(of function: String) -> Int64? {
        var status = stat()
        guard stat("\(logs)/\(function)/log", &status) == 0 else { return nil }
        return Int64(status.st_mtim.tv_sec) * 1_000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
    }

    /// The first of these that there is no file for.
    func missing(of names: [String]) -> String? {
        names.first { access("\(secrets)/\($0)", R_OK) != 0 }
    }

    private static let secretBytesMax = 1 << 20
}
