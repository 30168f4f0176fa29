/// A version of Python or of pip, as numbers: `3.12`, `3.12.1`.
package struct PythonVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The oldest version that functions run on.
    package static let oldest = PythonVersion(3, 9)

    package let numbers: [Int]

    package init(_ numbers: Int...) {
        self.numbers = numbers
    }

    /// Reads one to four numbers with dots between them. Nil for other texts.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...4).contains(parts.count) else { return nil }
        var numbers: [Int] = []
        for part in parts {
            guard part.utf8.count <= 6, part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(part)
            else {
                return nil
            }
            numbers.append(number)
        }
        self.numbers = numbers
    }

    /// Reads the numbers at the start of a text: `24.1b1` gives 24.1. Nil if there are none.
    package init?(leadingIn text: some StringProtocol) {
        let numeric = text.prefix { $0 == "." || ("0"..."9").contains($0) }
        var parts = numeric.split(separator: ".").prefix(4)
        while !parts.isEmpty {
            if let version = PythonVersion(parts.joined(separator: ".")) {
                self = version
                return
            }
            parts.removeLast()
        }
        return nil
    }

    /// Whether this version is one that `wanted` allows: 3.12.1 satisfies 3, 3.12 and 3.12.1.
    package func satisfies(_ wanted: PythonVersion) -> Bool {
        numbers.starts(with: wanted.numbers)
    }

    /// The first two numbers, `3.12`.
    package var minor: String { numbers.prefix(2).map(String.init).joined(separator: ".") }

    package var description: String { numbers.map(String.init).joined(separator: ".") }

    package static func < (left: PythonVersion, right: PythonVersion) -> Bool {
        left.numbers.lexicographicallyPrecedes(right.numbers)
    }
}
