/// The rules of a `.dockerignore`: which paths of a folder stay out of an image's build. See
/// https://docs.docker.com/build/concepts/context/#dockerignore-files.
///
/// Each pattern starts at the top of the folder, and applies to everything below a path that it matches. The last
/// pattern that matches a path or a folder above it decides. `!` includes paths again, even inside a folder that is
/// left out. `*` and `?` do not match slashes, `**` does. The Dockerfile and `.dockerignore` itself always reach the
/// engine. The engine keeps them out of the image if a pattern matches them.
package struct DockerIgnoreRules: Sendable {
    package static let fileName = ".dockerignore"
    private static let always = [["Dockerfile"], [fileName]]
    private static let patternMax = 1_024

    private struct Rule: Sendable {
        let pattern: DockerIgnorePattern
        let takesBack: Bool
    }

    private var rules: [Rule] = []

    /// - Throws: if a line is not a valid pattern.
    package init(_ content: [UInt8]) throws(BundleError) {
        var number = 0
        var content = content[...]
        if content.starts(with: [0xEF, 0xBB, 0xBF]) { content = content.dropFirst(3) }
        for line in content.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            guard let text = String(validating: line, as: UTF8.self) else {
                throw .dockerIgnoreFile(line: number, reason: "it is not UTF-8")
            }
            if let rule = try Self.rule(text, number) { rules.append(rule) }
        }
    }

    private static func rule(_ line: String, _ number: Int) throws(BundleError) -> Rule? {
        if line.first == "#" { return nil }
        var text = trimmed(Substring(line))
        if text.isEmpty { return nil }
        let takesBack = text.first == "!"
        if takesBack { text = trimmed(text.dropFirst()) }
        guard !text.isEmpty else {
            throw .dockerIgnoreFile(line: number, reason: "there is no pattern after the \"!\"")
        }
        guard text.count <= patternMax else {
            throw .dockerIgnoreFile(line: number, reason: "the pattern has more than \(patternMax) characters")
        }
        guard let pattern = DockerIgnorePattern(cleaned(text)) else {
            throw .dockerIgnoreFile(line: number, reason: "\"\(text)\" is not a pattern: a \"[\" has no \"]\"")
        }
        return Rule(pattern: pattern, takesBack: takesBack)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }

    /// The shortest form of a path from the top of the folder.
    private static func cleaned(_ text: Substring) -> String {
        var parts: [Substring] = []
        for part in text.split(separator: "/") where part != "." {
            if part == "..", !parts.isEmpty, parts.last != ".." { parts.removeLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }

    /// Whether a rule may include something inside a folder that is left out.
    package var hasExceptions: Bool { rules.contains { $0.takesBack } }

    /// Whether this path (its parts below the top of the folder) stays out.
    package func leavesOut(_ path: [String]) -> Bool {
        if Self.always.contains(path) { return false }
        let paths = path.indices.map { Array(path[...$0].joined(separator: "/").unicodeScalars) }
        var isOut = false
        for rule in rules where rule.takesBack == isOut {
            if paths.contains(where: { rule.pattern.matches($0) }) { isOut.toggle() }
        }
        return isOut
    }
}
