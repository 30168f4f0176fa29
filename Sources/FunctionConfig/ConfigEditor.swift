import Yams

/// Adds to the text of a config.yaml and keeps everything else, comments and order included.
///
/// Each edit changes lines of the text and then reads the result back. If the result is not exactly the old content
/// plus the addition, the edit fails with a `ConfigError` that says what to add by hand.
package struct ConfigEditor: Sendable {
    /// The present text of the config.
    package private(set) var text: String
    private let fileName: String

    /// Throws if the text is not a valid config.
    package init(text: String, fileName: String) throws(ConfigError) {
        _ = try ConfigFile.parse(yaml: text, fileName: fileName)
        self.text = text
        self.fileName = fileName
    }

    /// Adds a function at the end of `functions`. Throws if there is a function of that name.
    ///
    /// - Parameter body: the lines of the function's mapping, from column 0, with two spaces for each level.
    package mutating func add(function name: FunctionName, body: [String]) throws(ConfigError) {
        let before = try ConfigFile.parse(yaml: text, fileName: fileName)
        if let existing = before.function(named: name.text) {
            throw existing.failure(at: "", "there is a function \(name.text.quoted) already; choose another name")
        }
        let block = ["\(name):"] + body.map { "  \($0)" }
        let byHand =
            "cannot add the function to this file; add these lines under \"functions\" by hand:\n"
            + block.joined(separator: "\n")
        guard let edited = try edited(adding: block) else { throw failure(byHand) }
        try accept(edited, otherwise: byHand) { after in
            after.gateway == before.gateway && after.functions.last?.name == name
                && after.functions.dropLast().map(\.yaml) == before.functions.map(\.yaml)
                && after.functions.dropLast().map(\.name) == before.functions.map(\.name)
        }
    }

    /// Writes `dcf.gateway`: replaces the value, or adds the key.
    package mutating func setGateway(_ address: String) throws(ConfigError) {
        let before = try ConfigFile.parse(yaml: text, fileName: fileName)
        if before.gateway == address { return }
        let byHand =
            "cannot write the gateway to this file; write these lines by hand:\n"
            + "dcf:\n  gateway: \(address.asJSONString)"
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
    /// A key at the top level of the file: where the key stands, and its value.
    private func topLevel(_ key: String) throws(ConfigError) -> (mark: Mark, value: Node)? {
        guard case .mapping(let root) = try YAMLText.root(of: text, path: "", file: fileName)?.node else { return nil }
        for (node, value) in root {
            if case .scalar(let scalar) = node, scalar.string == key, let mark = scalar.mark { return (mark, value) }
        }
        return nil
    }

    /// The index of the line after the value of a top-level key, from 0.
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

    /// The lines with a function added. Nil if the form of the file does not allow whole lines to be added.
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

    /// The lines with this gateway. Nil if the form of the file does not allow that.
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
