/// The syntax of requirements files, as pip reads them.
enum RequirementText {
    /// An option of a line, and its value.
    struct Option: Equatable {
        let name: String
        let value: String
    }

    /// The lines with their numbers. Continued lines are joined. Comments and blank lines are left out.
    static func logicalLines(_ bytes: [UInt8]) -> [(Int, String)] {
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

    /// The line without its comment. A `#` starts a comment at the start of a line and after a blank. Elsewhere it is
    /// part of a URL.
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

    /// The line with each `${NAME}` replaced by the variable's value, if the variable is set and not empty. A name has
    /// only capitals, digits and `_`.
    static func expanding(_ variables: [String: String], in line: String) -> String {
        var result = ""
        var rest = line[...]
        while let start = rest.firstRange(of: "${") {
            result += rest[..<start.lowerBound]
            let name = rest[start.upperBound...].prefix { $0.isASCII && ($0.isUppercase || $0.isNumber || $0 == "_") }
            let end = rest.index(start.upperBound, offsetBy: name.count)
            if end < rest.endIndex, rest[end] == "}", let value = variables[String(name)], !value.isEmpty {
                result += value
                rest = rest[rest.index(after: end)...]
            } else {
                result += "${"
                rest = rest[start.upperBound...]
            }
        }
        return result + rest
    }

    /// The text without the user and password in its URLs: they do not change what is installed.
    static func withoutCredentials(_ text: String) -> String {
        var result = ""
        var rest = text[...]
        while let start = rest.firstRange(of: "://") {
            result += rest[..<start.upperBound]
            rest = rest[start.upperBound...]
            let host = rest.prefix { $0 != "/" && !$0.isWhitespace && $0 != "\"" }
            if let at = host.lastIndex(of: "@") { rest = rest[rest.index(after: at)...] }
        }
        return result + rest
    }

    /// The options of a line that starts with an option: `-r x`, `-rx`, `--requirement x`, `--requirement=x`, one or
    /// several.
    static func options(_ line: String) -> [Option] {
        var found: [Option] = []
        var words = words(line)[...]
        while let word = words.popFirst() {
            if word.hasPrefix("--") {
                if let equals = word.firstIndex(of: "=") {
                    found.append(
                        Option(name: String(word[..<equals]), value: String(word[word.index(after: equals)...])))
                } else {
                    found.append(Option(name: word, value: takesValue(word) ? words.popFirst() ?? "" : ""))
                }
            } else if word.hasPrefix("-"), word.count > 2 {
                found.append(Option(name: String(word.prefix(2)), value: String(word.dropFirst(2))))
            } else if word.hasPrefix("-") {
                found.append(Option(name: word, value: words.popFirst() ?? ""))
            }
        }
        return found
    }

    private static func takesValue(_ option: String) -> Bool {
        [
            "--requirement", "--constraint", "--editable", "--find-links", "--index-url", "--extra-index-url",
            "--pypi-url",
            "--trusted-host", "--no-binary", "--only-binary", "--use-feature",
        ].contains(option)
    }

    /// The words of a line, split as a shell does: quotes group, and a backslash escapes the next character.
    static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        for character in line {
            if isEscaped {
                word = (word ?? "") + String(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if character == quote {
                quote = nil
            } else if quote == nil, character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if quote == nil, character.isWhitespace {
                if let whole = word { words.append(whole) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        return words
    }

    /// The requirement without its own options, such as `--hash=...`.
    static func withoutOptions(_ text: String) -> String {
        var end = text.startIndex
        for word in text.split(whereSeparator: \.isWhitespace) {
            if word.hasPrefix("--") { break }
            end = word.endIndex
        }
        return String(text[..<end])
    }

    /// The URL of a requirement, and whether a name stands before it. Forms: `https://x`, `file:x`,
    /// `name[extra] @ URL ; marker`. Nil if the requirement has no URL.
    static func url(of requirement: String) -> (url: String, isNamed: Bool)? {
        var text = requirement[...]
        var isNamed = false
        if let at = text.firstIndex(of: "@"), isName(text[..<at]) {
            isNamed = true
            text = text[text.index(after: at)...].drop(while: \.isWhitespace)
        }
        let url = text.prefix { !$0.isWhitespace }
        let scheme = url.prefix { $0.isLetter || $0.isNumber || $0 == "+" || $0 == "-" || $0 == "." }
        let follows = url.dropFirst(scheme.count)
        guard !scheme.isEmpty, follows.hasPrefix("://") || (scheme == "file" && follows.hasPrefix(":")) else {
            return nil
        }
        return (String(url.last == ";" ? url.dropLast() : url), isNamed)
    }

    /// Whether a text is the name of a package, with or without extras, which can stand before an `@`.
    private static func isName(_ text: Substring) -> Bool {
        let name = trimmed(text.prefix { $0 != "[" })
        return !name.isEmpty && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) }
    }

    private static let archives = [
        ".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar.lz", ".tlz",
        ".tar.lzma",
    ]

    /// The path in a requirement that is a path: `./x`, `../x[extra]`, `/x`, `x.whl`. Nil for other requirements.
    static func path(of requirement: String) -> String? {
        var path = trimmed(requirement.prefix { $0 != ";" })
        if path.hasSuffix("]"), let extras = path.lastIndex(of: "[") { path = trimmed(path[..<extras]) }
        let isPath = path.hasPrefix(".") || path.contains("/") || archives.contains { path.lowercased().hasSuffix($0) }
        return isPath ? path : nil
    }
}
