import Platform
import SystemPackage

/// A function's `requirements.txt` with the files that it includes by `-r` and `-c`. Only pip checks the lines
/// themselves.
///
/// Local files and folders in the lines are resolved as pip does: relative to the folder that pip runs in, or to the
/// file that contains the line, and with variables replaced.
package struct Requirements: Sendable, Hashable {
    /// The most bytes of all files together, and the most files.
    private static let bytesMax = 4 << 20
    private static let filesMax = 64

    /// One line that names a package, without comments and trailing options.
    package struct Line: Sendable, Hashable {
        package let text: String
        /// Whether the line only restricts versions: it comes from a file included by `-c`.
        package let isConstraint: Bool
    }

    /// The place of a line, for errors.
    struct Place: Sendable, Hashable {
        let file: String
        let line: Int
    }

    /// The path of the outermost file.
    package let path: String
    /// The content of each file, the outermost first, in the order of inclusion.
    package private(set) var contents: [[UInt8]] = []
    package private(set) var lines: [Line] = []
    /// The local files and folders that decide what is installed, in the order of the lines.
    private(set) var sources: [RequirementSource] = []
    /// The lines with variables, after the variables were replaced, without credentials.
    private(set) var expanded: [String] = []
    private let variables: [String: String]
    private var seen: Set<String> = []

    /// Whether there is nothing to install: the file is missing or blank, or has only comments or options.
    package var isEmpty: Bool {
        !lines.contains { !$0.isConstraint } && !sources.contains { $0.kind == .package }
    }

    /// The full paths of local files and folders to install.
    package var localPaths: [String] { sources.filter { $0.kind == .package }.map(\.path) }

    /// Reads the file and the files that it includes. If the outermost file is missing, it counts as empty.
    ///
    /// - Parameter variables: the variables that pip gets. They replace `${NAME}`.
    package init(file: String, variables: [String: String] = [:]) throws(EnvironmentError) {
        path = file
        self.variables = variables
        if Folder.holds(file) { try read(file, isConstraint: false, from: nil) }
    }

    private mutating func read(_ file: String, isConstraint: Bool, from origin: Place?) throws(EnvironmentError) {
        guard seen.insert(file).inserted else { return }
        let bytes: [UInt8]
        do throws(FileError) {
            bytes = try WholeFile.read(file, limit: Self.bytesMax)
        } catch {
            guard let origin else { throw .file(error) }
            throw .requirementsFile(path: origin.file, line: origin.line, reason: error.description)
        }
        contents.append(bytes)
        guard contents.count <= Self.filesMax, contents.reduce(0, { $0 + $1.count }) <= Self.bytesMax else {
            throw .requirementsFile(
                path: path, line: 0,
                reason: "it includes more than \(Self.filesMax) files or \(Self.bytesMax) bytes; make it smaller")
        }
        for (number, text) in RequirementText.logicalLines(bytes) {
            let full = RequirementText.expanding(variables, in: text)
            if full != text { expanded.append(RequirementText.withoutCredentials(full)) }
            try handle(full, isConstraint: isConstraint, at: Place(file: file, line: number))
        }
    }

    private mutating func handle(_ text: String, isConstraint: Bool, at place: Place) throws(EnvironmentError) {
        guard text.hasPrefix("-") else {
            return handle(requirement: RequirementText.withoutOptions(text), isConstraint: isConstraint, at: place)
        }
        for option in RequirementText.options(text) {
            switch option.name {
            case "-r", "--requirement": try include(option.value, isConstraint: isConstraint, at: place)
            case "-c", "--constraint": try include(option.value, isConstraint: true, at: place)
            case "-e", "--editable": try handle(editable: option.value, isConstraint: isConstraint, at: place)
            case "-f", "--find-links": handle(links: option.value, at: place)
            case "-i", "--index-url", "--extra-index-url", "--pypi-url":
                guard let local = FileURL.path(option.value) else { break }
                sources.append(RequirementSource(kind: .index, path: below(pipFolder, local), place: place))
            default: break
            }
        }
    }

    /// Reads an included file. A relative path starts at the folder of the file that contains the line.
    private mutating func include(_ name: String, isConstraint: Bool, at place: Place) throws(EnvironmentError) {
        let local = FileURL.path(name)
        if local == nil, name.contains("://") { return }
        try read(below(folder(of: place.file), local ?? name), isConstraint: isConstraint, from: place)
    }

    private mutating func handle(editable: String, isConstraint: Bool, at place: Place) throws(EnvironmentError) {
        guard editable.contains("://"), !editable.hasPrefix("file:") else {
            throw .requirementsFile(
                path: place.file, line: place.line,
                reason:
                    "an editable install ties the environment to a local folder; write \"\(editable)\" without -e"
            )
        }
        handle(requirement: editable, isConstraint: isConstraint, at: place)
    }

    /// Adds a folder or page where pip looks for packages. A relative path starts at the folder of the file that
    /// contains the line if it exists there, else at the folder where pip runs.
    private mutating func handle(links: String, at place: Place) {
        let local = FileURL.path(links)
        if local == nil, links.contains("://") { return }
        let beside = below(folder(of: place.file), local ?? links)
        let path = Folder.holds(beside) ? beside : below(pipFolder, local ?? links)
        sources.append(RequirementSource(kind: .links, path: path, place: place))
    }

    private mutating func handle(requirement: String, isConstraint: Bool, at place: Place) {
        if let (url, isNamed) = RequirementText.url(of: requirement) {
            if let local = FileURL.path(url) {
                sources.append(RequirementSource(kind: .package, path: below(pipFolder, local), place: place))
            } else if let local = FileURL.repository(url) {
                sources.append(RequirementSource(kind: .repository, path: below(pipFolder, local), place: place))
            }
            // A requirement without a name cannot be found in a venv.
            if isNamed || !url.hasPrefix("file:") { lines.append(Line(text: requirement, isConstraint: isConstraint)) }
        } else if let local = RequirementText.path(of: requirement) {
            // pip resolves these paths from the folder where it runs, not from that of the file.
            sources.append(RequirementSource(kind: .package, path: below(pipFolder, local), place: place))
        } else {
            lines.append(Line(text: requirement, isConstraint: isConstraint))
        }
    }

    private var pipFolder: FilePath { folder(of: path) }

    private func folder(of file: String) -> FilePath { FilePath(file).removingLastComponent() }

    private func below(_ folder: FilePath, _ path: String) -> String {
        folder.pushing(FilePath(path)).lexicallyNormalized().string
    }
}

/// A local file or folder in a requirements file. Its content decides what is installed.
struct RequirementSource: Sendable, Hashable {
    enum Kind: String, Sendable {
        /// A folder to build, a wheel or an archive.
        case package
        /// A folder or page where pip looks for packages.
        case links
        /// A package index in a folder.
        case index
        /// A git repository. One of its commits is installed.
        case repository
    }

    let kind: Kind
    /// The full path.
    let path: String
    let place: Requirements.Place

    /// A digest of the content and of the names inside. The path itself does not matter.
    func digest() throws(EnvironmentError) -> String {
        do throws(FileError) {
            switch kind {
            case .package: return try ContentDigest.everything(at: path)
            case .links: return try ContentDigest.links(at: path)
            case .index: return try ContentDigest.everything(at: path)
            case .repository: return try ContentDigest.commits(at: path)
            }
        } catch {
            // pip ignores missing places for packages, and reports other missing files itself.
            if kind != .package, error.code == .noSuchFileOrDirectory { return "nothing" }
            throw .requirementsFile(path: place.file, line: place.line, reason: error.description)
        }
    }
}
