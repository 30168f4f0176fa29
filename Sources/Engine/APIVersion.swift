/// A version of the engine's API, such as `1.41`: https://docs.docker.com/reference/api/engine/version-history/.
package struct APIVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Docker 20.10.
    package static let oldest = APIVersion(major: 1, minor: 41)
    /// Docker 29. Later engines speak this version too.
    package static let newest = APIVersion(major: 1, minor: 52)

    package let major: Int
    package let minor: Int

    package init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Nil if the text is not a version.
    package init?(_ text: some StringProtocol) {
        let numbers = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        guard numbers.count == 2, let major = numbers[0], let minor = numbers[1], major >= 0, minor >= 0 else {
            return nil
        }
        self.init(major: major, minor: minor)
    }

    /// The newest version that both this program and an engine speak. Nil if there is none.
    ///
    /// - Parameters:
    ///   - newest: the engine's newest version.
    ///   - oldest: the engine's oldest version. Nil if the engine does not report one.
    package static func common(newest: APIVersion, oldest: APIVersion?) -> APIVersion? {
        let common = min(newest, Self.newest)
        return common >= max(oldest ?? Self.oldest, Self.oldest) ? common : nil
    }

    package static func < (left: APIVersion, right: APIVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    package var description: String { "\(major).\(minor)" }
}
