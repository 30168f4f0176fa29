/// The name of a function: a DNS label. It starts with `a`-`z`, continues with `a`-`z`, `0`-`9` and `-`, does not end
/// with `-`, and has at most 63 characters. The initialiser throws `InvalidFunctionName` for other texts.
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

/// A text that is not the name of a function, and what is wrong with it.
package struct InvalidFunctionName: Error, Equatable, CustomStringConvertible {
    package enum Problem: Equatable, Sendable {
        case empty
        case tooLong(characters: Int)
        case beginning(Unicode.Scalar)
        case forbidden(Unicode.Scalar)
        case ending
    }

    package let text: String
    package let problem: Problem

    package var description: String {
        let name = "function name \(text.quoted)"
        switch problem {
        case .empty:
            return "the function name is empty; give one that begins with a lower-case letter, such as \"echo\""
        case .tooLong(let characters):
            return "\(name) has \(characters) characters; at most \(FunctionName.lengthMax) are allowed"
        case .beginning(let scalar):
            return "\(name) begins with \(String(scalar).quoted); it must begin with a lower-case letter a-z"
        case .forbidden(let scalar):
            return "\(name) contains \(String(scalar).quoted); only a-z, 0-9 and \"-\" are allowed"
        case .ending:
            return "\(name) ends with \"-\"; it must end with a letter or a digit"
        }
    }
}
