/// Finds the known word that a misspelled word probably means.
package enum Suggestion {
    /// The known word nearest to `word`. Nil if none is near enough. A word is near enough if at most a third of its
    /// letters (at least one, at most three) are inserted, left out, exchanged or swapped with a neighbour, or if one
    /// word is the beginning of the other. Of equally near words the first wins.
    package static func nearest(to word: String, among known: some Sequence<String>) -> String? {
        let letters = Array(word.lowercased().unicodeScalars.prefix(lengthMax))
        guard !letters.isEmpty else { return nil }
        let distanceMax = min(3, max(1, letters.count / 3))
        var best: (word: String, distance: Int)?
        for candidate in known {
            let other = Array(candidate.lowercased().unicodeScalars.prefix(lengthMax))
            var distance = editDistance(letters, other)
            if distance > distanceMax, isBeginning(letters, other) { distance = distanceMax }
            if distance <= distanceMax, distance < best?.distance ?? .max {
                best = (candidate, distance)
            }
        }
        return best?.word
    }

    /// `; did you mean "x"?`. Empty if no known word is near enough.
    package static func clause(for word: String, among known: some Sequence<String>) -> String {
        nearest(to: word, among: known).map { "; did you mean \($0.quoted)?" } ?? ""
    }

    private static let lengthMax = 100

    private static func isBeginning(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Bool {
        let shorter = min(left.count, right.count)
        return shorter >= 3 && left.prefix(shorter) == right.prefix(shorter)
    }

    /// How many letters must be inserted, left out, exchanged or swapped with a neighbour to turn one word into the
    /// other.
    static func editDistance(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Int {
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            current.reserveCapacity(right.count + 1)
            for column in right.indices {
                let same = left[row] == right[column]
                var distance = min(previous[column] + (same ? 0 : 1), previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    distance = min(distance, beforePrevious[column - 1] + 1)
                }
                current.append(distance)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[right.count]
    }
}
