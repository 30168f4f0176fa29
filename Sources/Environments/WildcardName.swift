/// Matches one name against one pattern with `*`, `?`, `[a-z]`, `[!a-z]` and `\`. A match takes time proportional to
/// the product of both lengths.
enum WildcardName {
    static func matches(_ name: [Unicode.Scalar], _ pattern: ArraySlice<Unicode.Scalar>) -> Bool {
        var nameIndex = name.startIndex
        var patternIndex = pattern.startIndex
        var retry: (name: Int, pattern: Int)?
        while nameIndex < name.endIndex {
            if patternIndex < pattern.endIndex, pattern[patternIndex] == "*" {
                patternIndex += 1
                retry = (nameIndex, patternIndex)
            } else if let next = step(name[nameIndex], pattern, patternIndex) {
                nameIndex += 1
                patternIndex = next
            } else if let last = retry {
                nameIndex = last.name + 1
                patternIndex = last.pattern
                retry = (nameIndex, patternIndex)
            } else {
                return false
            }
        }
        return pattern[patternIndex...].allSatisfy { $0 == "*" }
    }

    /// The index after the pattern's next element if that element matches the character, else nil.
    private static func step(_ character: Unicode.Scalar, _ pattern: ArraySlice<Unicode.Scalar>, _ index: Int) -> Int? {
        guard index < pattern.endIndex else { return nil }
        switch pattern[index] {
        case "?":
            return index + 1
        case "\\" where index + 1 < pattern.endIndex:
            return pattern[index + 1] == character ? index + 2 : nil
        case "[":
            guard let (found, next) = set(character, pattern, index) else { return character == "[" ? index + 1 : nil }
            return found ? next : nil
        default:
            return pattern[index] == character ? index + 1 : nil
        }
    }

    /// Reads a set from its `[`: whether it contains the character, and the index after its `]`. Nil if there is no
    /// `]`.
    private static func set(
        _ character: Unicode.Scalar, _ pattern: ArraySlice<Unicode.Scalar>, _ start: Int
    ) -> (Bool, Int)? {
        var index = start + 1
        let negated = index < pattern.endIndex && (pattern[index] == "!" || pattern[index] == "^")
        if negated { index += 1 }
        var found = false
        let first = index
        while index < pattern.endIndex {
            let low = pattern[index]
            if low == "]", index > first { return (found != negated, index + 1) }
            if index + 2 < pattern.endIndex, pattern[index + 1] == "-", pattern[index + 2] != "]" {
                if low <= character, character <= pattern[index + 2] { found = true }
                index += 3
            } else {
                if low == character { found = true }
                index += 1
            }
        }
        return nil
    }
}
