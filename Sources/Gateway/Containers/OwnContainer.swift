internal import Environments
internal import Glibc

/// The container that this very process runs in.
enum OwnContainer {
    private static let marks = ["/.dockerenv", "/run/.containerenv"]

    /// Its id, as far as it can be known; nil where it runs in none.
    static func id() -> String? {
        guard marks.contains(where: { access($0, F_OK) == 0 }) else { return nil }
        if let bytes = try? WholeFile.read("/proc/self/mountinfo", limit: 1 << 20),
            let id = id(inMounts: String(decoding: bytes, as: UTF8.self))
        {
            return id
        }
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// An engine keeps the files that it makes for a container, such as /etc/hostname, in a folder that is named by the id.
    static func id(inMounts text: String) -> String? {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "/")
            for (folder, name) in zip(parts, parts.dropFirst()) where folder.hasSuffix("containers") {
                if name.utf8.count == 64, name.allSatisfy({ $0.isHexDigit }) { return String(name) }
            }
        }
        return nil
    }
}
