internal import FunctionConfig
internal import Glibc
internal import Platform

/// Makes a new registry from the files beside it: the records of functions, and their bundles.
///
/// Functions in a sound registry stay if no record is newer. The old file is kept under another name.
package struct RegistryRebuild {
    /// The outcome of a rebuild.
    package struct Outcome: Sendable, Equatable {
        /// What was found, in sentences.
        package var found: [String] = []
        /// What could not be restored, and why, in sentences.
        package var missing: [String] = []
        /// The path under which the old registry is kept. Nil if there was none.
        package var before: String?
        /// Why nothing was changed. Nil if something was.
        package var refusal: String?
    }

    private let lock: DataFolder

    private var path: String { "\(lock.path)/registry.sqlite" }
    private var records: RecordFolder { RecordFolder(path: "\(lock.path)/records") }

    /// Locks the data folder. No gateway may be running on it.
    package init(dataFolder: String) throws {
        guard Folder.holds(dataFolder) else {
            throw GatewayError.component("there is no data folder \(dataFolder); name it with --data-dir")
        }
        lock = try DataFolder(dataFolder)
    }

    /// Rebuilds the registry, or changes nothing.
    package func run() throws -> Outcome {
        var outcome = Outcome()
        let sound = readSound(&outcome)
        let bundles = try BundleStore(dataFolder: lock.path)
        var rebuilt: [StoredFunction] = []
        var kept = Dictionary(uniqueKeysWithValues: (sound ?? []).map { ($0.function.name, $0) })
        for (name, record) in try records.all() {
            switch record {
            case .failure(let problem): outcome.missing.append("\(records.path)/\(name).json: \(problem)")
            case .success(let stored):
                if let known = kept[name], isWhole(known, bundles),
                    known.function.updatedAt >= stored.function.updatedAt
                {
                    continue
                }
                guard let stored = usable(stored, bundles, &outcome) else { continue }
                rebuilt.append(counted(stored, kept[name]))
                kept[name] = nil
            }
        }
        for stored in kept.values where stored.hasProblem {
            outcome.missing.append("\(stored.function.name): its row is damaged, and there is no record of it")
        }
        guard sound == nil || !rebuilt.isEmpty else {
            outcome.refusal =
                "the registry \(path) is sound, with \(sound?.count ?? 0) functions, and nothing in the files beside it is missing there"
            return outcome
        }
        try tell(unknownTo: rebuilt + kept.values, bundles, &outcome)
        outcome.before = try replace(with: rebuilt + kept.values.filter { !$0.hasProblem })
        return outcome
    }

    /// The functions in the old registry, if it can be read.
    private func readSound(_ outcome: inout Outcome) -> [StoredFunction]? {
        guard Folder.holds(path) else {
            outcome.found.append("there is no registry \(path)")
            return nil
        }
        do throws(RegistryError) {
            let store = try FunctionStore(path: path)
            let all = try store.all()
            try store.close()
            return all
        } catch {
            outcome.found.append("\(error)")
            return nil
        }
    }

    /// Whether the rows of a function can be used and its files are there.
    private func isWhole(_ stored: StoredFunction, _ bundles: BundleStore) -> Bool {
        !stored.hasProblem
            && stored.versions.allSatisfy {
                $0.kind == .image || bundles.holds($0.bundle, function: $0.name, version: $0.version)
            }
    }

    /// The record, reduced to the versions whose files are there. Nil if none is left.
    private func usable(_ stored: StoredFunction, _ bundles: BundleStore, _ outcome: inout Outcome) -> StoredFunction? {
        let name = stored.function.name
        guard (try? FunctionName(name)) != nil else {
            outcome.missing.append("\"\(name)\" is not the name of a function")
            return nil
        }
        var stored = stored
        stored.versions = stored.versions.filter { version in
            let isThere =
                version.version > 0
                && (version.kind == .image || bundles.holds(version.bundle, function: name, version: version.version))
            if !isThere {
                outcome.missing.append(
                    "\(name)@\(version.version): its bundle \(version.bundle) is not in \(lock.path)/bundles")
            }
            return isThere
        }
        guard let newest = stored.versions.last else { return nil }
        if stored.versions.reduce(0, { $0 + $1.traffic }) != 100 {
            outcome.missing.append("\(name): versions that got calls are gone; version \(newest.version) gets them all")
            for index in stored.versions.indices { stored.versions[index].traffic = 0 }
            stored.versions[stored.versions.count - 1].traffic = 100
        }
        let numbers = stored.versions.map { $0.traffic > 0 ? "\($0.version) (\($0.traffic) %)" : "\($0.version)" }
        outcome.found.append("\(name): version\(numbers.count == 1 ? "" : "s") \(numbers.joined(separator: ", "))")
        return stored
    }

    /// The record with the count of calls from the old registry, if that is known.
    private func counted(_ stored: StoredFunction, _ before: StoredFunction?) -> StoredFunction {
        var stored = stored
        if let before { stored.function.invocations = max(before.function.invocations, stored.function.invocations) }
        return stored
    }

    private func tell(
        unknownTo all: [StoredFunction], _ bundles: BundleStore, _ outcome: inout Outcome
    ) throws(BundleStoreError) {
        let versions = all.flatMap(\.versions)
        let unknown = try bundles.unknown(
            besides: Set(versions.map(\.bundle)),
            versions: Dictionary(grouping: versions, by: \.name).mapValues { Set($0.map(\.version)) })
        outcome.missing += unknown.map {
            "\(lock.path)/\($0): no record says what it was deployed as; it is left there"
        }
    }

    /// Puts a new registry in the place of the old one, which is kept.
    ///
    /// - Returns: the path of the old registry. Nil if there was none.
    private func replace(with all: [StoredFunction]) throws -> String? {
        let new = path + ".new"
        for suffix in Self.suffixes { try Folder.remove(new + suffix) }
        let store = try FunctionStore(path: new)
        for stored in all { try store.save(stored) }
        try store.close()
        var before: String?
        if Folder.holds(path) {
            let name = "\(path).before-\(LogTime.text(LogTime.now()).filter { $0.isNumber }.prefix(14))"
            for suffix in Self.suffixes where Folder.holds(path + suffix) {
                try Folder.rename(path + suffix, to: name + suffix)
            }
            before = name
        }
        for suffix in Self.suffixes { try? Folder.remove(path + suffix) }
        try Folder.rename(new, to: path)
        try Folder.sync(lock.path)
        return before
    }

    private static let suffixes = ["", "-wal", "-shm"]
}
