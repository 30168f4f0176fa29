import SystemPackage

/// A function's `requirements.txt` with the files it includes by `-r` and `-c`, read but not judged: pip does that.
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

    /// The path of the outermost file.
    package let path: String
    /// The content of each file, outermost first, in the order of inclusion.
    package private(set) var contents: [[UInt8]] = []
    package private(set) var lines: [Line] = []
    /// Files and folders of the author's own that are to be installed, as full paths.
    package private(set) var localPaths: [String] = []
    private var seen: Set<String> = []

    /// Whether nothing is asked for: no file, a blank one, comments or options alone.
    package var isEmpty: Bool { !lines.contains { !$0.isConstraint } && localPaths.isEmpty }

    /// Reads the file and what it includes. A missing outermost file is the same as an empty one.
    package init(file: String) throws(EnvironmentError) {
        path = file
        if Folder.holds(file) { try read(file, isConstraint: false, from: nil) }
    }

    private mutating func read(
        _ file: String, isConstraint: Bool, from origin: (file: String, line: Int)?
    ) throws(EnvironmentError) {
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
        let folder = FilePath(file).removingLastComponent()
        for (number, text) in Self.logicalLines(bytes) {
            try take(text, isConstraint: isConstraint, folder: folder, at: (file, number))
        }
    }

    private mutating func take(
        _ text: String, isConstraint: Bool, folder: FilePath, at place: (file: String, line: Int)
    ) throws(EnvironmentError) {
        for (options, constrains) in [(["-r", "--requirement"], isConstraint), (["-c", "--constraint"], true)] {
            guard let name = Self.argument(of: options, in: text) else { continue }
            if name.contains("://") { return }
            try read(folder.pushing(FilePath(name)).string, isConstraint: constrains, from: place)
            return
        }
        if let editable = Self.argument(of: ["-e", "--editable"], in: text) {
            guard editable.contains("://"), !editable.hasPrefix("file:") else {
                throw .requirementsFile(
                    path: place.file, line: place.line,
                    reason:
                        "an editable install of a local folder ties the environment to that folder; write \"\(editable)\" without -e"
                )
            }
            lines.append(Line(text: editable, isConstraint: isConstraint))
            return
        }
        if text.hasPrefix("-") { return }
        let requirement = Self.withoutOptions(text)
        if let local = Self.localPath(requirement) {
            // pip takes these from the folder it runs in, wherever the file lies that names them.
            localPaths.append(
                FilePath(path).removingLastComponent().pushing(FilePath(local)).lexicallyNormalized().string)
        } else {
            lines.append(Line(text: requirement, isConstraint: isConstraint))
        }
    }

    /// The lines with their numbers, continued ones joined, comments and blank ones left out.
    private static func logicalLines(_ bytes: [UInt8]) -> [(Int, String)] {
        var text = String(decoding: bytes, as: UTF8.self)
        if text.hasPrefix("\u{FEFF}") { text.removeFirst() }
        var result: [(Int, String)] = []
        var joined = ""
        var start = 0
        var number = 0
        for raw in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            number += 1
            if joined.isEmpty { start = number }
            let isComment = raw.drop { $0 == " " || $0 == "\t" }.first == "#"
            if raw.last == "\\", !isComment {
                joined += raw.dropLast()
                continue
            }
            joined += raw
            let line = trimmed(withoutComment(joined))
            if !line.isEmpty { result.append((start, line)) }
            joined = ""
        }
        let rest = trimmed(withoutComment(joined))
        if !rest.isEmpty { result.append((start, rest)) }
        return result
    }

    /// A `#` begins a comment at the line's start and after a blank; elsewhere it is part of a URL.
    private static func withoutComment(_ line: String) -> Substring {
        var previous: Character = " "
        for index in line.indices {
            if line[index] == "#", previous == " " || previous == "\t" { return line[..<index] }
            previous = line[index]
        }
        return line[...]
    }

    private static func trimmed(_ text: Substring) -> String {
        let front = text.drop(while: \.isWhitespace)
        guard let last = front.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(front[...last])
    }

    /// What follows one of these options: `-r x`, `-rx`, `--requirement x`, `--requirement=x`.
    private static func argument(of options: [String], in text: String) -> String? {
        for option in options where text.hasPrefix(option) {
            let rest = text.dropFirst(option.count)
            if option.hasPrefix("--") {
                guard let first = rest.first, first == "=" || first.isWhitespace else { continue }
                return trimmed(rest.dropFirst())
            }
            let argument = trimmed(rest)
            if !argument.isEmpty { return argument }
        }
        return nil
    }

    /// The requirement without what pip takes per line, such as `--hash=...`.
    private static func withoutOptions(_ text: String) -> String {
        var end = text.startIndex
        var words: [Substring] = []
        for word in text.split(whereSeparator: \.isWhitespace) {
            if word.hasPrefix("--") { break }
            words.append(word)
            end = word.endIndex
        }
        return String(text[..<end])
    }

    /// The path, where a requirement is one: `./x`, `../x`, `/x`, `x.whl`, `file:x`.
    private static func localPath(_ requirement: String) -> String? {
        if requirement.hasPrefix("file://") { return String(requirement.dropFirst(7)) }
        if requirement.hasPrefix("file:") { return String(requirement.dropFirst(5)) }
        if requirement.contains("://") || requirement.contains(" @ ") { return nil }
        let path = requirement.prefix { $0 != "[" && $0 != ";" && !$0.isWhitespace }
        let isPath =
            path.hasPrefix(".") || path.hasPrefix("/") || path.hasSuffix(".whl") || path.hasSuffix(".tar.gz")
            || path.hasSuffix(".zip") || path.contains("/")
        return isPath ? String(path) : nil
    }
}
