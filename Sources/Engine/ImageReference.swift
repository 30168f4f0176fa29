/// The name of an image, `registry/path:tag` or `registry/path@sha256:...`, by the rules of
/// https://github.com/distribution/reference.
package struct ImageReference: Sendable, Hashable, CustomStringConvertible {
    package static let registryDefault = "docker.io"

    /// The registry. `docker.io` if the name contains none.
    package let registry: String
    /// The name as given, without tag and digest.
    package let repository: String
    package let tag: String?
    /// `sha256:` and 64 hexadecimal digits.
    package let digest: String?

    /// - Throws: if the text is not the name of an image.
    package init(_ text: String) throws(EngineError) {
        func wrong(_ why: String) -> EngineError {
            EngineError(.failed, "\"\(text)\" is not the name of an image: \(why)")
        }
        var name = Substring(text)
        var digest: String?
        var tag: String?
        if let at = name.lastIndex(of: "@") {
            let told = name[name.index(after: at)...]
            let digits = told.dropFirst(7)
            guard told.hasPrefix("sha256:"), digits.count == 64, digits.allSatisfy({ "0123456789abcdef".contains($0) })
            else { throw wrong("the part after the @ is not a sha256 digest") }
            digest = String(told)
            name = name[..<at]
        }
        let slash = name.lastIndex(of: "/") ?? name.startIndex
        if let colon = name[slash...].lastIndex(of: ":") {
            let told = name[name.index(after: colon)...]
            let isFirst = told.first.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") } ?? false
            guard isFirst, told.utf8.count <= 128,
                told.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) })
            else { throw wrong("a tag has 1 to 128 letters, digits, \"_\", \".\" and \"-\"") }
            tag = String(told)
            name = name[..<colon]
        }
        var parts = name.split(separator: "/", omittingEmptySubsequences: false)
        let first = parts.first.map(String.init) ?? ""
        let hasRegistry = parts.count > 1 && (first.contains(".") || first.contains(":") || first == "localhost")
        if hasRegistry { parts.removeFirst() }
        for part in parts {
            let isGood = part.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || "._-".contains($0)) }
            guard isGood, let one = part.first, let last = part.last, !"._-".contains(one), !"._-".contains(last) else {
                throw wrong(
                    "each part between slashes has lower-case letters and digits, with \".\", \"_\" or \"-\" inside")
            }
        }
        guard !parts.isEmpty, name.utf8.count <= 255 else { throw wrong("it is empty, or longer than 255 bytes") }
        registry = hasRegistry ? first : Self.registryDefault
        repository = String(name)
        self.tag = tag
        self.digest = digest
    }

    /// Which image the engine pulls or pushes: the digest, else the tag, else `latest`.
    package var tagOrDigest: String { digest ?? tag ?? "latest" }

    /// The name of the same image at another registry.
    package func at(registry: String) throws(EngineError) -> ImageReference {
        let path =
            repository.hasPrefix(self.registry + "/")
            ? String(repository.dropFirst(self.registry.count + 1)) : repository
        return try ImageReference(
            "\(registry)/\(path)" + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? ""))
    }

    /// The name of the same image with a digest instead of a tag.
    package func pinned(to digest: String) throws(EngineError) -> ImageReference {
        try ImageReference("\(repository)@\(digest)")
    }

    package var description: String {
        repository + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }
}
