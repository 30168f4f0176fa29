import GRDB
internal import Foundation

/// The values of a row, and the faults in them.
struct RowValues {
    private let values: [String: DatabaseValue]
    /// A clause for each faulty value that was read.
    private(set) var problems: [String] = []

    init(_ row: Row) {
        values = Dictionary(row.map { ($0, $1) }, uniquingKeysWith: { first, _ in first })
    }

    func text(_ column: String) -> String? {
        if case .string(let text) = values[column]?.storage { text } else { nil }
    }

    func integer(_ column: String) -> Int64? {
        if case .int64(let number) = values[column]?.storage { number } else { nil }
    }

    /// The text of a column. If the column holds none, adds a problem and returns `missing`.
    mutating func text(_ column: String, else missing: String) -> String {
        if let text = text(column) { return text }
        note(column, "a text")
        return missing
    }

    /// The number of a column. If it is outside `range`, adds a problem and returns the nearest number in `range`. If
    /// the column holds no number, adds a problem and uses `missing`.
    mutating func integer(_ column: String, in range: ClosedRange<Int64>, else missing: Int64) -> Int64 {
        guard let number = integer(column) else {
            note(column, "a whole number")
            return missing
        }
        if !range.contains(number) {
            note(
                column,
                range.upperBound == .max ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)")
        }
        return min(max(number, range.lowerBound), range.upperBound)
    }

    /// The decoded JSON of a column. If it cannot be decoded, adds a problem and returns `missing`.
    mutating func json<Value: Decodable>(_ column: String, else missing: Value) -> Value {
        let decoded = text(column).flatMap { try? JSONDecoder().decode(Value.self, from: Data($0.utf8)) }
        if let decoded { return decoded }
        note(column, missing is [String] ? "a JSON list of texts" : "a JSON object of texts")
        return missing
    }

    /// Adds a problem of the row.
    mutating func note(_ problem: String) {
        problems.append(problem)
    }

    /// Adds a problem: the column is not as expected.
    mutating func note(_ column: String, _ expected: String) {
        problems.append("\(column) is \(shown(column)), which is not \(expected)")
    }

    private func shown(_ column: String) -> String {
        switch values[column]?.storage {
        case .string(let text): "\"\(text.prefix(40))\(text.count > 40 ? "..." : "")\""
        case .int64(let number): "\(number)"
        case .double(let number): "\(number)"
        case .blob(let data): "a blob of \(data.count) bytes"
        case .null: "NULL"
        case nil: "not there"
        }
    }
}
