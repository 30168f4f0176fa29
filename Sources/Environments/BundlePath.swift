/// The rules for a path inside a bundle, one for packing and unpacking.
enum BundlePath {
    /// The path's parts, or why it is not acceptable. `.` and doubled slashes are dropped; the top itself has no parts.
    static func parts(of path: [UInt8], limits: BundleLimits) throws(BundlePathProblem) -> [String] {
        guard path.count <= limits.pathBytes else {
            throw BundlePathProblem("its path has \(path.count) bytes; \(limits.pathBytes) is the most")
        }
        guard !path.isEmpty else { throw BundlePathProblem("it has no name") }
        guard path.first != 0x2F else { throw BundlePathProblem("its path is absolute") }
        var parts: [String] = []
        for part in path.split(separator: 0x2F) where part != [0x2E] {
            if part == [0x2E, 0x2E] { throw BundlePathProblem("its path leads out by \"..\"") }
            guard part.count <= limits.componentBytes else {
                throw BundlePathProblem("a name of \(part.count) bytes; \(limits.componentBytes) is the most")
            }
            guard let text = String(validating: part, as: UTF8.self) else {
                throw BundlePathProblem("its name is not UTF-8")
            }
            guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
                throw BundlePathProblem("control characters in its name")
            }
            parts.append(text)
        }
        guard parts.count <= limits.depth else {
            throw BundlePathProblem("it lies \(parts.count) folders deep; \(limits.depth) is the most")
        }
        return parts
    }
}

/// Why a path cannot be one of a bundle.
struct BundlePathProblem: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}
