internal import Foundation
internal import FunctionConfig
package import Platform

/// A copy of the registry: one file for each function. `--rebuild` makes a lost or damaged registry again from these
/// files and the bundles beside them.
///
/// A file is there whole or not at all, and it is on the disk when `write` returns. Every call blocks for as long as
/// the disk takes.
package final class RecordFolder: Sendable {
    /// The format of the files. Files of another format are left alone.
    private static let format = 1
    private static let bytesMax = 64 << 20

    private struct Content: Encodable {
        let format: Int
        let function: FunctionRecord
        let versions: [VersionRecord]
    }

    let path: String

    package init(path: String) {
        self.path = path
    }

    private func file(_ name: String) -> String? {
        Folder.isPlainName(name) ? "\(path)/\(name).json" : nil
    }

    /// Writes the record of a function. A function whose name is not valid as a file name has no record.
    package func write(_ stored: StoredFunction) throws(FileError) {
        guard let file = file(stored.function.name) else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let content = Content(format: Self.format, function: stored.function, versions: stored.versions)
        // Records are numbers and texts, so they can always be encoded.
        guard let data = try? encoder.encode(content) else { return }
        try Folder.make(path, mode: 0o700)
        try WholeFile.replace(file, with: Array(data), mode: 0o600)
    }

    package func remove(_ name: String) throws(FileError) {
        guard let file = file(name), Folder.holds(file) else { return }
        try Folder.remove(file)
        try Folder.sync(path)
    }

    /// The record of a function. Nil if there is none that can be read.
    package func read(_ name: String) -> StoredFunction? {
        guard let file = file(name), let bytes = try? WholeFile.read(file, limit: Self.bytesMax) else { return nil }
        return try? Self.parse(bytes, name)
    }

    /// The records of all functions, by name. For a record that cannot be read, the reason.
    package func all() throws(FileError) -> [(name: String, record: Result<StoredFunction, RecordProblem>)] {
        var found: [(name: String, record: Result<StoredFunction, RecordProblem>)] = []
        for entry in try Folder.names(at: path) where entry.hasSuffix(".json") {
            let name = String(entry.dropLast(5))
            do {
                let bytes = try WholeFile.read("\(path)/\(entry)", limit: Self.bytesMax)
                found.append((name, .success(try Self.parse(bytes, name))))
            } catch let problem as RecordProblem {
                found.append((name, .failure(problem)))
            } catch {
                found.append((name, .failure(RecordProblem(description: "\(error)"))))
            }
        }
        return found
    }

    private static func parse(_ bytes: [UInt8], _ name: String) throws -> StoredFunction {
        let json: Any
        do { json = try JSONSerialization.jsonObject(with: Data(bytes)) } catch {
            throw RecordProblem(description: "it is not JSON")
        }
        guard let content = json as? [String: Any], let format = content["format"] as? Int else {
            throw RecordProblem(description: "it has no \"format\"")
        }
        guard format == Self.format else {
            throw RecordProblem(description: "it has format \(format); this dcf-gateway knows \(Self.format)")
        }
        let empty = FunctionRecord(name: name, createdAt: 0, updatedAt: 0)
        let function = try decode(content["function"], over: empty)
        guard function.name == name else { throw RecordProblem(description: "it is of function \"\(function.name)\"") }
        let versions = try (content["versions"] as? [Any] ?? []).map { entry in
            try decode(
                entry,
                over: VersionRecord(
                    name: name, version: 0, config: "", bundle: "", replicas: ReplicaRange(min: 1, max: 1), createdAt: 0
                ))
        }
        return StoredFunction(function, versions: versions.sorted { $0.version < $1.version })
    }

    /// Decodes an entry. Fields that an older release did not write are taken from `missing`.
    private static func decode<Value: Codable>(_ entry: Any?, over missing: Value) throws -> Value {
        guard let entry = entry as? [String: Any] else { throw RecordProblem(description: "a part of it is missing") }
        let base = try JSONSerialization.jsonObject(with: try JSONEncoder().encode(missing)) as? [String: Any] ?? [:]
        let merged = base.merging(entry) { $1 }
        do {
            return try JSONDecoder().decode(Value.self, from: try JSONSerialization.data(withJSONObject: merged))
        } catch { throw RecordProblem(description: "it cannot be understood: \(error)") }
    }
}

/// Why a function's record cannot be read: a clause whose subject is the file.
package struct RecordProblem: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String
}
