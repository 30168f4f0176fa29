import Yams

/// Adds to the text of a config.yaml and leaves everything else in it as it is, comments and order included.
///
/// Each edit is made on the lines and then read back: unless the file says what it said before, and the new thing, the
/// edit is refused with a `ConfigError` that tells what to add by hand.
package struct ConfigEditor: Sendable {
    /// The config as it is now.
    package private(set) var text: String
    private let fileName: String

    /// Throws when the text is not a valid config to begin with.
    package init(text: String, fileName: String) throws(ConfigError) {
        _ = try ConfigFile.parse(yaml: text, fileName: fileName)
        self.text = text
        self.fileName = fileName
    }

    /// Adds a function at the end of `functions`. `body` are the lines of its mapping, indented by two a level from
    /// column 0. The name must not be there yet.
    package mutating func add(function name: FunctionName, body: [String]) throws(ConfigError) {
        let before = try ConfigFile.parse(yaml: text, fileName: fileName)
        if let existing = before.function(named: name.text) {
            throw existing.failure(at: "", "there is a function \(name.text.quoted) already; choose another name")
        }
        let block = ["\(name):"] + body.map { "  \($0)" }
        let byHand = "cannot add to this file; add this under \"functions\" by hand:\n\(block.joined(separator: "\n"))"
        guard let edited = try edited(adding: block) else { throw failure(byHand) }
        try accept(edited, otherwise: byHand) { after in
            after.gateway == before.gateway && after.functions.last?.name == name
                && after.functions.dropLast().map(\.yaml) == before.functions.map(\.yaml)
                && after.functions.dropLast().map(\.name) == before.functions.map(\.name)
        }
    }

    /// Writes `dcf.gateway`, in place of the value that is there or as a new key.
    package mutating func setGateway(_ address: String) throws(ConfigError) {
        let before = try ConfigFile.parse(yaml: text, fileName: fileName)
        if before.gateway == address { return }
        let byHand = "cannot add to this file; write this by hand:\ndcf:\n  gateway: \(address.asJSONString)"
        guard let edited = try edited(gateway: address.asJSONString) else { throw failure(byHand) }
        try accept(edited, otherwise: byHand) { after in
            after.gateway == address && after.functions.map(\.yaml) == before.functions.map(\.yaml)
        }
    }

    private mutating func accept(
        _ lines: ConfigLines, otherwise message: String, if isRight: (ConfigFile) -> Bool
    ) throws(ConfigError) {
        guard let after = try? ConfigFile.parse(yaml: lines.text, fileName: fileName), isRight(after) else {
            throw failure(message)
        }
        text = lines.text
    }

    private func failure(_ message: String) -> ConfigError {
        ConfigError(file: fileName, line: nil, message: message)
    }
}

extension ConfigEditor {
    /// A key at the top of the file: its own line and column, and its value.
    private func topLevel(_ key: String) throws(ConfigError) -> (mark: Mark, value: Node)? {
        guard case .mapping(let root) = try YAMLText.root(of: text, path: "", file: fileName)?.node else { return nil }
        for (node, value) in root {
            if case .scalar(let scalar) = node, scalar.string == key, let mark = scalar.mark { return (mark, value) }
        }
        return nil
    }

    /// The line after the last one of a top-level key's value, counted from 0.
    private func end(ofTopLevelAt line: Int, in lines: ConfigLines) throws(ConfigError) -> Int {
        var end = lines.count
        if case .mapping(let root) = try YAMLText.root(of: text, path: "", file: fileName)?.node {
            for (node, _) in root {
                if let next = node.mark?.line, next > line { end = min(end, next - 1) }
            }
        }
        for index in line..<max(line, end) where lines.isDocumentMark(index) {
            return index
        }
        return end
    }

    /// Nil where the file is written in a way that cannot be added to line by line.
    private func edited(adding block: [String]) throws(ConfigError) -> ConfigLines? {
        var lines = ConfigLines(text)
        guard let (mark, value) = try topLevel("functions") else {
            lines.append(["functions:"] + block.map { "  \($0)" })
            return lines
        }
        let indent = mark.column - 1
        guard lines.isBlank(mark.line - 1, before: indent) else { return nil }
        if case .mapping(let mapping) = value, let first = mapping.first?.key.mark {
            let childIndent = first.column - 1
            guard first.line > mark.line, lines.isBlank(first.line - 1, before: childIndent) else { return nil }
            var end = try end(ofTopLevelAt: mark.line, in: lines)
            while end > first.line, lines.isBlankOrComment(end - 1, indentedLessThan: childIndent) { end -= 1 }
            lines.insert(block, at: end, indent: childIndent)
            return lines
        }
        guard lines.clearEmptyValue(at: mark.line - 1, behind: "functions") else { return nil }
        lines.insert(block, at: mark.line, indent: indent + 2)
        return lines
    }

    private func edited(gateway: String) throws(ConfigError) -> ConfigLines? {
        var lines = ConfigLines(text)
        guard let (mark, value) = try topLevel("dcf") else {
            lines.append(["dcf:", "  gateway: \(gateway)"])
            return lines
        }
        guard case .mapping(let mapping) = value, let (key, old) = mapping.first(where: { $0.key.string == "gateway" }),
            case .scalar(let scalar) = old, let keyMark = key.mark
        else {
            guard lines.clearEmptyValue(at: mark.line - 1, behind: "dcf") else { return nil }
            lines.insert(["gateway: \(gateway)"], at: mark.line, indent: mark.column + 1)
            return lines
        }
        let isReplaced = lines.replaceValue(of: "gateway", at: keyMark.line - 1, old: scalar.string, new: gateway)
        return isReplaced ? lines : nil
    }
}
