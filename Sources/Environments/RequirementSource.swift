import SystemPackage

/// Something on this machine that a requirements file leads to, whose content decides what is installed.
struct RequirementSource: Sendable, Hashable {
    enum Kind: String, Sendable {
        /// A folder to build, a wheel or an archive.
        case package
        /// A folder or a page in which packages are looked for.
        case links
        /// A package index as a folder.
        case index
        /// A repository of git, from which a commit is taken.
        case repository
    }

    let kind: Kind
    /// The full path.
    let path: String
    let place: Requirements.Place

    /// A digest of its content, by which names other than those inside do not matter.
    func digest() throws(EnvironmentError) -> String {
        do throws(FileError) {
            switch kind {
            case .package: return try ContentDigest.everything(at: path)
            case .links: return try ContentDigest.links(at: path)
            case .index: return try ContentDigest.everything(at: path)
            case .repository: return try ContentDigest.commits(at: path)
            }
        } catch {
            // pip passes over places for packages that are not there, and says itself what else it cannot find.
            if kind != .package, error.code == .noSuchFileOrDirectory { return "nothing" }
            throw .requirementsFile(path: place.file, line: place.line, reason: error.description)
        }
    }
}
