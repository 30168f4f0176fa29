/// The calls that have not begun, oldest first. The queue owns its records.
struct CallQueue {
    typealias Record = UnsafeMutablePointer<CallRecord>

    private var records: [Record] = []
    private var begin = 0

    var count: Int { records.count - begin }

    var first: Record? { begin < records.count ? records[begin] : nil }

    mutating func append(_ record: Record) {
        records.append(record)
    }

    /// Removes the oldest record; the caller owns it.
    mutating func removeFirst() -> Record? {
        guard begin < records.count else { return nil }
        let record = records[begin]
        begin += 1
        if begin == records.count {
            records.removeAll(keepingCapacity: true)
            begin = 0
        } else if begin > 1_024 {
            records.removeSubrange(..<begin)
            begin = 0
        }
        return record
    }

    /// Removes all records; the caller owns them.
    mutating func removeAll() -> [Record] { remove { _ in true } }

    /// Removes the records for which `isWanted` is true; the caller owns them.
    mutating func remove(where isWanted: (Record) -> Bool) -> [Record] {
        var removed: [Record] = []
        var kept: [Record] = []
        for record in records[begin...] {
            if isWanted(record) { removed.append(record) } else { kept.append(record) }
        }
        if !removed.isEmpty {
            records = kept
            begin = 0
        }
        return removed
    }
}
