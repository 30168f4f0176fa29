import Platform

/// The rules of a `.dcfignore`: which paths of a function's folder stay out of its bundle. The syntax is that of
/// `.gitignore`.
///
/// A later rule wins over an earlier one. `!` includes paths again, unless a folder above them is left out. With `/` at
/// the start or inside, a pattern starts at the top of the folder. With `/` at the end, it matches folders only. `*`
/// and `?` do not match slashes, `**` does. `.git`, `__pycache__` and `.venv` are left out by default.
package struct IgnoreRules: Sendable {
    package static let fileName = ".dcfignore"
    private static let always = [".git", "__pycache__", ".venv"]

    private var rules: [Rule] = []

    /// The default rules.
    package init() {
        for name in Self.always {
            rules.append(
                Rule(segments: [.anything, .name(Array(name.unicodeScalars))], foldersOnly: false, takesBack: false))
        }
    }

    /// The default rules, then those of a `.dcfignore` with this content.
    package init(_ content: [UInt8]) throws(BundleError) {
        self.init()
        var number = 0
        for line in content.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            guard let text = String(validating: line, as: UTF8.self) else {
                throw .ignoreFile(line: number, reason: "it is not UTF-8")
            }
            if let rule = try Rule(line: text, number: number) { rules.append(rule) }
        }
    }

    /// Whether this path (its parts below the top of the folder) stays out. No folder above it may be left out.
    package func leavesOut(_ path: [String], isFolder: Bool) -> Bool {
        let parts = path.map { Array($0.unicodeScalars) }
        for rule in rules.reversed() where !rule.foldersOnly || isFolder {
            if rule.matches(parts) { return !rule.takesBack }
        }
        return false
    }
}

extension IgnoreRules {
    private struct Rule: Sendable {
        enum Segment: Sendable {
            /// `**`: any number of parts, or none.
            case anything
            case name([Unicode.Scalar])
        }

        let segments: [Segment]
        let foldersOnly: Bool
        let takesBack: Bool

        init(segments: [Segment], foldersOnly: Bool, takesBack: Bool) {
            self.segments = segments
            self.foldersOnly = foldersOnly
            self.takesBack = takesBack
        }

        init?(line: String, number: Int) throws(BundleError) {
            var text = Array(line.unicodeScalars)
            if text.last == "\r" { text.removeLast() }
            while text.last == " ", text.dropLast().last != "\\" { text.removeLast() }
            if text.isEmpty || text.first == "#" { return nil }
            takesBack = text.first == "!"
            if takesBack { text.removeFirst() }
            if text.count > 1024 {
                throw .ignoreFile(line: number, reason: "the pattern has more than 1024 characters")
            }
            foldersOnly = text.last == "/"
            if foldersOnly { text.removeLast() }
            let anchored = text.contains("/")
            if text.first == "/" { text.removeFirst() }
            guard !text.isEmpty else { throw .ignoreFile(line: number, reason: "the pattern is empty") }
            var segments: [Segment] = anchored ? [] : [.anything]
            for part in text.split(separator: "/") {
                segments.append(Array(part) == ["*", "*"] ? .anything : .name(Array(part)))
            }
            self.segments = segments
        }

        /// Whether the rule matches the path. Keeps one row for each segment: how many leading parts of the path the
        /// segments so far can match.
        func matches(_ parts: [[Unicode.Scalar]]) -> Bool {
            var reached = [Bool](repeating: false, count: parts.count + 1)
            reached[0] = true
            for (index, segment) in segments.enumerated() {
                var next = [Bool](repeating: false, count: parts.count + 1)
                switch segment {
                case .anything:
                    // A trailing `**` matches the content of a folder, so at least one part.
                    let least = index == segments.count - 1 ? 1 : 0
                    for start in reached.indices where reached[start] {
                        for end in next.indices where end >= start + least { next[end] = true }
                    }
                case .name(let pattern):
                    for start in parts.indices where reached[start] && WildcardName.matches(parts[start], pattern[...])
                    {
                        next[start + 1] = true
                    }
                }
                reached = next
            }
            return reached[parts.count]
        }
    }
}
