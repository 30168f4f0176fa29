extension String {
    /// The text on one line, without anything that a terminal acts on: each control character is replaced by `?`.
    var printable: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.isControlCharacter ? "?" : $0 }))
    }

    /// The text without the sequences that colour a terminal's text or move its cursor, such as `ESC [ 91 m`.
    var withoutTerminalCodes: String {
        guard unicodeScalars.contains("\u{1B}") else { return self }
        var result = String.UnicodeScalarView()
        var rest = unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "\u{1B}" else {
                result.append(scalar)
                continue
            }
            guard rest.first == "[" else { continue }
            rest = rest.dropFirst().drop { !(0x40...0x7E).contains($0.value) }.dropFirst()
        }
        return String(result)
    }

    /// How many columns the text takes on a terminal.
    var width: Int {
        unicodeScalars.reduce(0) { $0 + $1.width }
    }
}

extension Unicode.Scalar {
    fileprivate var isControlCharacter: Bool {
        value < 0x20 || (0x7F..<0xA0).contains(value) || (0x202A...0x202E).contains(value)
            || (0x2066...0x2069).contains(value)
    }

    /// 2 for the wide scripts of East Asia and for emoji, 0 for marks that combine with the letter before, else 1.
    fileprivate var width: Int {
        switch value {
        case 0x0300...0x036F, 0x200B...0x200F, 0xFE00...0xFE0F: 0
        case 0x1100...0x115F, 0x2E80...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
            2
        default: 1
        }
    }
}

extension String {
    /// The text without the blanks and line feeds at its end.
    var trimmedAtEnd: String {
        var text = Substring(self)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}
