/// Rows under a header, with columns aligned to the left and two blanks between them. Every row has as many cells as
/// the header.
struct Table {
    private var rows: [[String]]

    init(header: [String]) {
        rows = [header]
    }

    mutating func add(_ row: [String]) {
        rows.append(row.map(\.printable))
    }

    /// The rows as lines. Each line ends with a line feed, without blanks before it.
    var text: String {
        let columns = rows[0].indices
        let widths = columns.map { column in rows.map { $0[column].width }.max() ?? 0 }
        var text = ""
        for row in rows {
            var line = ""
            for column in columns {
                line += row[column] + String(repeating: " ", count: widths[column] - row[column].width + 2)
            }
            text += String(line.reversed().drop { $0 == " " }.reversed()) + "\n"
        }
        return text
    }
}
