/// The rules for paths inside a bundle, the same for packing and unpacking.
enum BundlePath {
    /// Splits a path into its parts. `.` and double slashes are dropped. The top folder has no parts.
    ///
    /// - Throws: if the path is not acceptable.
    static func parts(of path: [UInt8], limits: BundleLimits) throws(BundlePathProblem) -> [String] {
        guard path.count <= limits.pathBytes else {
            throw BundlePathProblem("its path has \(path.count) bytes; \(limits.pathBytes) are allowed")
        }
        guard !path.isEmpty else { throw BundlePathProblem("it has no name") }
        guard path.first != 0x2F else { throw BundlePathProblem("its path is absolute") }
        var parts: [String] = []
        for part in path.split(separator: 0x2F) where part != [0x2E] {
            if part == [0x2E, 0x2E] { throw BundlePathProblem("its path contains \"..\"") }
            guard part.count <= limits.componentBytes else {
                throw BundlePathProblem(
                    "its path has a name of \(part.count) bytes; \(limits.componentBytes) are allowed")
            }
            guard let text = String(validating: part, as: UTF8.self) else {
                throw BundlePathProblem("its name is not UTF-8")
            }
            guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
                throw BundlePathProblem("its name contains control characters")
            }
            parts.append(text)
        }
        guard parts.count <= limits.depth else {
            throw BundlePathProblem("it lies \(parts.count) folders deep; \(limits.depth) are allowed")
        }
        return parts
    }
}

/// Why a path is not allowed in a bundle.
struct BundlePathProblem: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}
