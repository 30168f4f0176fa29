/// The lines of a config for editing. Lines that are not edited keep every byte. Indices start at 0.
struct ConfigLines {
    /// Each line without its line feed. A carriage return stays part of the line.
    private var lines: [String]
    private let ending: String

    init(_ text: String) {
        lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { String($0) ?? "" }
        // There is no line after a final line feed.
        if lines.last?.isEmpty == true { lines.removeLast() }
        ending = lines.contains { $0.utf8.last == UInt8(ascii: "\r") } ? "\r" : ""
    }

    var count: Int { lines.count }

    var text: String { lines.map { $0 + "\n" }.joined() }

    /// Adds lines at the end, with a blank line before them unless the text is empty.
    mutating func append(_ block: [String]) {
        if let last = lines.last, !last.utf8.allSatisfy({ $0 <= 0x20 }) { lines.append(ending) }
        insert(block, at: lines.count, indent: 0)
    }

    /// Inserts lines, each with this many spaces before it.
    mutating func insert(_ block: [String], at index: Int, indent: Int) {
        let margin = String(repeating: " ", count: indent)
        lines.insert(contentsOf: block.map { $0.isEmpty ? ending : margin + $0 + ending }, at: min(index, lines.count))
        if index > 0, !ending.isEmpty, lines[index - 1].utf8.last != UInt8(ascii: "\r") { lines[index - 1] += ending }
    }

    /// Whether a line has only spaces before a column.
    func isBlank(_ index: Int, before column: Int) -> Bool {
        lines.indices.contains(index) && lines[index].utf8.prefix(column).allSatisfy { $0 == UInt8(ascii: " ") }
    }

    func isBlankOrComment(_ index: Int, indentedLessThan column: Int) -> Bool {
        let indent = lines[index].utf8.prefix { $0 == UInt8(ascii: " ") }.count
        let rest = lines[index].utf8.dropFirst(indent)
        return rest.allSatisfy { $0 <= 0x20 } || (indent < column && rest.first == UInt8(ascii: "#"))
    }

    func isDocumentMark(_ index: Int) -> Bool {
        lines[index].hasPrefix("...") || lines[index].hasPrefix("---")
    }

    /// Removes `{}`, `null` or `~` after a key. Returns false if another value follows the key on its line.
    mutating func clearEmptyValue(at index: Int, behind key: String) -> Bool {
        guard let colon = colon(at: index, behind: key) else { return false }
        var rest = lines[index][lines[index].index(after: colon)...]
        let blanks = rest.prefix { $0 == " " }
        rest = rest.dropFirst(blanks.count)
        for empty in ["{}", "null", "~"] where rest.hasPrefix(empty) {
            lines[index] = String(lines[index][...colon]) + rest.dropFirst(empty.count)
            return true
        }
        return rest.unicodeScalars.allSatisfy { $0.value <= 0x20 } || (!blanks.isEmpty && rest.hasPrefix("#"))
    }

    /// Replaces the scalar after a key. `old` is the present scalar without its quotes. Returns false if it is not
    /// found.
    mutating func replaceValue(of key: String, at index: Int, old: String, new: String) -> Bool {
        guard let colon = colon(at: index, behind: key) else { return false }
        let head = lines[index][...colon]
        let rest = lines[index][lines[index].index(after: colon)...].drop { $0 == " " }
        for form in old.isEmpty ? ["\"\"", "''", "null", "~", ""] : ["\"\(old)\"", "'\(old)'", old]
        where rest.hasPrefix(form) {
            lines[index] = "\(head) \(new)\(rest.dropFirst(form.count))"
            return true
        }
        return false
    }

    private func colon(at index: Int, behind key: String) -> String.Index? {
        guard lines.indices.contains(index) else { return nil }
        let line = lines[index]
        let rest = line.drop { $0 == " " }
        let start = rest.hasPrefix(key) ? line.index(rest.startIndex, offsetBy: key.count) : line.endIndex
        let colon = line[start...].drop { $0 == " " }.startIndex
        return colon < line.endIndex && line[colon] == ":" ? colon : nil
    }
}
