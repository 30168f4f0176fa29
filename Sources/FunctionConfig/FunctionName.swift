/// The name of a function: begins with `a`-`z`, then `a`-`z`, `0`-`9` and `-`, not ending with `-`, at most 63
/// characters in all (a DNS label). Throws `InvalidFunctionName` for anything else.
package struct FunctionName: Hashable, Sendable {
    package static let lengthMax = 63

    package let text: String

    package init(_ text: String) throws(InvalidFunctionName) {
        if let problem = Self.problem(of: text) {
            throw InvalidFunctionName(text: text, problem: problem)
        }
        self.text = text
    }

    private static func problem(of text: String) -> InvalidFunctionName.Problem? {
        let bytes = text.utf8
        guard let first = bytes.first, let last = bytes.last else { return .empty }
        if bytes.count > lengthMax { return .tooLong(characters: text.count) }
        if !(UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first) {
            return .beginning(text.unicodeScalars.first ?? "-")
        }
        for scalar in text.unicodeScalars where !isAllowed(scalar) {
            return .forbidden(scalar)
        }
        if last == UInt8(ascii: "-") { return .ending }
        return nil
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "0"..."9", "-": true
        default: false
        }
    }
}

extension FunctionName: CustomStringConvertible {
    package var description: String { text }
}

extension FunctionName: Comparable {
    package static func < (left: FunctionName, right: FunctionName) -> Bool { left.text < right.text }
}
