/// A text that cannot be the name of a function, and what is wrong with it.
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
            return "the function name is empty; it begins with a lower-case letter, as in \"echo\""
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
