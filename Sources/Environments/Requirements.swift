import SystemPackage

/// A function's `requirements.txt` with the files it includes by `-r` and `-c`, read but not judged: pip does that.
///
/// What its lines lead to on this machine is named as pip would find it: a path relative to the folder that pip runs in, or to
/// the file that names it; variables put in.
package struct Requirements: Sendable, Hashable {
    /// Files of more than this many bytes in all, or more files than this, are refused.
    private static let bytesMax = 4 << 20
    private static let filesMax = 64

    /// One line that asks for a package, comments and options after it cut off.
    package struct Line: Sendable, Hashable {
        package let text: String
        /// Whether it only restricts versions (it stands in a file included by `-c`).
        package let isConstraint: Bool
    }

    /// Where a line stands, for errors.
    struct Place: Sendable, Hashable {
        let file: String
        let line: Int
    }

    /// The path of the outermost file.
    package let path: String
    /// The content of each file, outermost first, in the order of inclusion.
    package private(set) var contents: [[UInt8]] = []
    package private(set) var lines: [Line] = []
    /// What lies on this machine and decides what is installed, in the order of the lines.
    private(set) var sources: [RequirementSource] = []
    /// The lines that variables were put into, as they are then, without credentials.
    private(set) var expanded: [String] = []
    private let variables: [String: String]
    private var seen: Set<String> = []

    /// Whether nothing is asked for: no file, a blank one, comments or options alone.
    package var isEmpty: Bool {
        !lines.contains { !$0.isConstraint } && !sources.contains { $0.kind == .package }
    }

    /// Files and folders of the author's own that are to be installed, as full paths.
    package var localPaths: [String] { sources.filter { $0.kind == .package }.map(\.path) }

    /// Reads the file and what it includes. A missing outermost file is the same as an empty one.
    ///
    /// - Parameter variables: those that pip gets: it puts them in for `${NAME}`.
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
                path: path, line: 0, reason: "it includes more than \(Self.filesMax) files or \(Self.bytesMax) bytes")
        }
        for (number, text) in RequirementText.logicalLines(bytes) {
            let full = RequirementText.expanding(variables, in: text)
            if full != text { expanded.append(RequirementText.withoutCredentials(full)) }
            try take(full, isConstraint: isConstraint, at: Place(file: file, line: number))
        }
    }

    private mutating func take(_ text: String, isConstraint: Bool, at place: Place) throws(EnvironmentError) {
        guard text.hasPrefix("-") else {
            return take(requirement: RequirementText.withoutOptions(text), isConstraint: isConstraint, at: place)
        }
        for option in RequirementText.options(text) {
            switch option.name {
            case "-r", "--requirement": try include(option.value, isConstraint: isConstraint, at: place)
            case "-c", "--constraint": try include(option.value, isConstraint: true, at: place)
            case "-e", "--editable": try take(editable: option.value, isConstraint: isConstraint, at: place)
            case "-f", "--find-links": take(links: option.value, at: place)
            case "-i", "--index-url", "--extra-index-url", "--pypi-url":
                guard let local = FileURL.path(option.value) else { break }
                sources.append(RequirementSource(kind: .index, path: below(pipFolder, local), place: place))
            default: break
            }
        }
    }

    /// A file that another one includes, relative to that one.
    private mutating func include(_ name: String, isConstraint: Bool, at place: Place) throws(EnvironmentError) {
        let local = FileURL.path(name)
        if local == nil, name.contains("://") { return }
        try read(below(folder(of: place.file), local ?? name), isConstraint: isConstraint, from: place)
    }

    private mutating func take(editable: String, isConstraint: Bool, at place: Place) throws(EnvironmentError) {
        guard editable.contains("://"), !editable.hasPrefix("file:") else {
            throw .requirementsFile(
                path: place.file, line: place.line,
                reason:
                    "an editable install of a local folder ties the environment to that folder; write \"\(editable)\" without -e"
            )
        }
        take(requirement: editable, isConstraint: isConstraint, at: place)
    }

    /// A folder or a page where packages are looked for: relative to the file that names it, if it is there.
    private mutating func take(links: String, at place: Place) {
        let local = FileURL.path(links)
        if local == nil, links.contains("://") { return }
        let beside = below(folder(of: place.file), local ?? links)
        let path = Folder.holds(beside) ? beside : below(pipFolder, local ?? links)
        sources.append(RequirementSource(kind: .links, path: path, place: place))
    }

    private mutating func take(requirement: String, isConstraint: Bool, at place: Place) {
        if let (url, isNamed) = RequirementText.url(of: requirement) {
            if let local = FileURL.path(url) {
                sources.append(RequirementSource(kind: .package, path: below(pipFolder, local), place: place))
            } else if let local = FileURL.repository(url) {
                sources.append(RequirementSource(kind: .repository, path: below(pipFolder, local), place: place))
            }
            // One without a name cannot be looked for in a venv.
            if isNamed || !url.hasPrefix("file:") { lines.append(Line(text: requirement, isConstraint: isConstraint)) }
        } else if let local = RequirementText.path(of: requirement) {
            // pip takes these from the folder it runs in, wherever the file lies that names them.
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
