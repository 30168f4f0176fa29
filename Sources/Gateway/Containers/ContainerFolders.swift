internal import Environments
internal import Glibc

/// What of the gateway's data folder its containers see.
struct ContainerFolders: Sendable {
    /// Where people put secrets: a file each.
    let secrets: String
    /// Copies for those that run, in a folder each.
    private let running: String
    /// Holds the socket that watchers in containers dial, and nothing else.
    let link: String

    init(dataFolder: String, link: String) {
        secrets = "\(dataFolder)/secrets"
        running = "\(dataFolder)/run/secrets"
        self.link = link
    }

    /// Removes what a gateway before this one left.
    func removeCopies() throws(FileError) {
        try Folder.remove(running)
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

    func removeCopies(for container: String) throws(FileError) {
        try Folder.remove("\(running)/\(container)")
    }

    /// The first of these that there is no file for.
    func missing(of names: [String]) -> String? {
        names.first { access("\(secrets)/\($0)", R_OK) != 0 }
    }

    private static let secretBytesMax = 1 << 20
}
