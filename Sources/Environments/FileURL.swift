/// Reads local paths from URLs.
enum FileURL {
    /// The decoded path of a `file:` URL, without the part after `#` or `?`. Nil for other texts, and for other hosts.
    static func path(_ text: String) -> String? {
        guard text.hasPrefix("file:") else { return nil }
        var rest = text.dropFirst(5).prefix { $0 != "#" && $0 != "?" }
        if rest.hasPrefix("//") {
            rest = rest.dropFirst(2)
            let host = rest.prefix { $0 != "/" }
            guard host.isEmpty || host == "localhost" else { return nil }
            rest = rest.dropFirst(host.count)
        }
        let path = decoded(rest)
        return path.isEmpty ? nil : path
    }

    /// The path of the repository in `git+file:///x@revision`. Nil for other texts.
    static func repository(_ text: String) -> String? {
        guard let plus = text.firstIndex(of: "+"), let path = path(String(text[text.index(after: plus)...])) else {
            return nil
        }
        guard let at = path.lastIndex(of: "@"), at > (path.lastIndex(of: "/") ?? path.startIndex) else { return path }
        return String(path[..<at])
    }

    /// The text with `%20` and the like decoded.
    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2)
            if byte == UInt8(ascii: "%"), digits.count == 2, let value = UInt8(String(Substring(digits)), radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
