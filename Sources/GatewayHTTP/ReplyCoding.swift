internal import Calls
internal import HTTPTypes

/// Whether and how the reply to a request may be packed (RFC 9110, 12.5.3). A value.
struct ReplyCoding {
    /// A smaller reply gains nothing.
    private static let bytesMin = 1 << 10
    /// Types of content that are packed already.
    private static let packedTypes = [
        "image/", "audio/", "video/", "font/", "application/zip", "application/gzip", "application/x-gzip",
        "application/pdf", "application/zstd",
    ]
    private static let packable = ["image/svg+xml", "image/bmp", "audio/wav", "audio/x-wav"]

    /// Whether the caller takes gzip.
    let takesGzip: Bool

    /// - Parameter accepted: the request's `Accept-Encoding`.
    init(_ accepted: String?) {
        takesGzip = accepted.map(Self.takesGzip) ?? false
    }

    /// Whether a reply of this size is packed.
    ///
    /// - Parameter metadata: the handler's, with the type of the content if it says one.
    func packs(_ count: Int, _ metadata: borrowing ReplyMetadata) -> Bool {
        guard takesGzip, count >= Self.bytesMin else { return false }
        var fields = HTTPFields()
        fields.add(metadata)
        // The handler has packed it itself.
        guard !fields.contains(.contentEncoding) else { return false }
        guard let type = fields[.contentType]?.lowercased() else { return true }
        return !Self.packedTypes.contains { type.hasPrefix($0) } || Self.packable.contains { type.hasPrefix($0) }
    }

    private static func takesGzip(_ accepted: String) -> Bool {
        var takesAny = false
        for part in accepted.lowercased().split(separator: ",") {
            let words = part.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
            guard let name = words.first else { continue }
            let weight = words.dropFirst().first { $0.hasPrefix("q=") }.map { Double($0.dropFirst(2)) ?? 0 } ?? 1
            if name == "gzip" || name == "x-gzip" { return weight > 0 }
            if name == "*" { takesAny = weight > 0 }
        }
        return takesAny
    }
}
