/// One pattern of `.dockerignore`, matched against a whole path. A match takes time proportional to the product of both
/// lengths.
struct DockerIgnorePattern: Sendable {
    private enum Element: Sendable {
        case character(Unicode.Scalar)
        /// `?`: any character except a slash.
        case any
        /// `*`: any number of characters except slashes.
        case name
        /// `**` with something after it: any number of folders.
        case folders
        /// `**` at the end: the whole rest of the path.
        case rest
        case set([ClosedRange<Unicode.Scalar>], negated: Bool)
    }

    private var elements: [Element] = []

    /// - Parameter text: the pattern, without slashes at either end.
    /// - Returns: nil if the text is not a pattern.
    init?(_ text: String) {
        let scalars = Array(text.unicodeScalars)
        var index = 0
        while index < scalars.count {
            switch scalars[index] {
            case "*" where index + 1 < scalars.count && scalars[index + 1] == "*":
                let isFirst = index == 0
                index += 2
                if index < scalars.count, scalars[index] == "/" {
                    index += 1
                } else if isFirst, !scalars[index...].contains(where: { "*?[]\\".unicodeScalars.contains($0) }) {
                    // `**.key` matches every path that ends in `.key`.
                    elements.append(.rest)
                    continue
                }
                elements.append(index < scalars.count ? .folders : .rest)
            case "*":
                elements.append(.name)
                index += 1
            case "?":
                elements.append(.any)
                index += 1
            case "\\" where index + 1 < scalars.count:
                elements.append(.character(scalars[index + 1]))
                index += 2
            case "[":
                guard let (set, next) = Self.set(scalars, index + 1) else { return nil }
                elements.append(set)
                index = next
            default:
                elements.append(.character(scalars[index]))
                index += 1
            }
        }
    }

    /// Reads a set.
    ///
    /// - Parameter start: the index after the `[`.
    /// - Returns: the set, and the index after its `]`. Nil if the set is not complete.
    private static func set(_ scalars: [Unicode.Scalar], _ start: Int) -> (Element, Int)? {
        var index = start
        var ranges: [ClosedRange<Unicode.Scalar>] = []
        let negated = index < scalars.count && scalars[index] == "^"
        if negated { index += 1 }
        func scalar() -> Unicode.Scalar? {
            if index < scalars.count, scalars[index] == "\\" { index += 1 }
            guard index < scalars.count else { return nil }
            defer { index += 1 }
            return scalars[index]
        }
        while index < scalars.count {
            if scalars[index] == "]", !ranges.isEmpty { return (.set(ranges, negated: negated), index + 1) }
            guard let low = scalar() else { return nil }
            var high = low
            if index + 1 < scalars.count, scalars[index] == "-", scalars[index + 1] != "]" {
                index += 1
                guard let end = scalar() else { return nil }
                high = end
            }
            guard low <= high else { return nil }
            ranges.append(low...high)
        }
        return nil
    }

    /// Whether the pattern matches the path. Keeps one row for each element: how many leading characters of the path
    /// the elements so far can match.
    func matches(_ path: [Unicode.Scalar]) -> Bool {
        var reached = [Bool](repeating: false, count: path.count + 1)
        reached[0] = true
        for element in elements {
            var next = [Bool](repeating: false, count: path.count + 1)
            switch element {
            case .rest:
                guard let first = reached.firstIndex(of: true) else { return false }
                for end in first...path.count { next[end] = true }
            case .folders:
                guard let first = reached.firstIndex(of: true) else { return false }
                for end in first...path.count { next[end] = reached[end] || (end > first && path[end - 1] == "/") }
            case .name:
                var isOn = false
                for end in 0...path.count {
                    if end > 0, path[end - 1] == "/" { isOn = false }
                    isOn = isOn || reached[end]
                    next[end] = isOn
                }
            default:
                for start in path.indices where reached[start] && Self.matches(path[start], element) {
                    next[start + 1] = true
                }
            }
            reached = next
        }
        return reached[path.count]
    }

    private static func matches(_ character: Unicode.Scalar, _ element: Element) -> Bool {
        switch element {
        case .character(let own): character == own
        case .any: character != "/"
        case .set(let ranges, let negated): ranges.contains { $0.contains(character) } != negated
        case .name, .folders, .rest: false
        }
    }
}
