internal import FunctionConfig
internal import Logging
internal import Platform

/// The files of functions: rows, records, bundles, folders, logs. Only files that the registry has marked are removed.
extension FunctionRegistry {
    // MARK: Rows and records

    /// Writes the rows and the record of a function. When this returns, the rows are on the disk.
    func save(_ stored: StoredFunction) throws(FunctionError) {
        do throws(RegistryError) { try store.save(stored) } catch { throw .registry(error) }
        writeRecord(of: stored)
    }

    /// The rows of a function that must be written because its own row is damaged. Nil if that row is not damaged.
    func stored(_ function: DeployedFunction) -> StoredFunction? {
        guard store.hasDamagedRow(function.name) else { return nil }
        return StoredFunction(function.record, versions: function.versions.map(\.record))
    }

    /// Removes a function from the registry.
    func removeRows(of function: DeployedFunction) throws(FunctionError) {
        let name = function.name
        // Before the row: a rebuild must not bring a deleted function back from its record.
        do throws(FileError) { try records.remove(name) } catch {
            context.logger.warning("the record of \(name) is not removed: \(error)")
        }
        do throws(RegistryError) {
            try reserve.lend { () throws(RegistryError) in _ = try store.delete(name) }
        } catch {
            writeRecord(of: StoredFunction(function.record, versions: function.versions.map(\.record)))
            throw .registry(error)
        }
        unrecorded.remove(name)
    }

    /// Writes the record of a function. For a version whose row cannot be used, the old record of the version stays.
    private func writeRecord(of stored: StoredFunction) {
        let name = stored.function.name
        var stored = stored
        let damaged = store.damagedVersions(of: name)
        stored.versions.removeAll { $0.version < 1 }
        if !damaged.isEmpty {
            let before = records.read(name)?.versions ?? []
            stored.versions = stored.versions.compactMap { version in
                guard damaged.contains(version.version) else { return version }
                var kept = before.first { $0.version == version.version }
                kept?.traffic = version.traffic
                return kept
            }
        }
        do throws(FileError) {
            try records.write(stored)
            unrecorded.remove(name)
        } catch {
            if unrecorded.insert(name).inserted {
                context.logger.warning("the record of \(name) is not written; this is tried again: \(error)")
            }
        }
    }

    /// Brings the records up to date with the registry. A record that is newer than the registry stays: it holds what
    /// the registry has lost.
    func updateRecords(from all: [StoredFunction]) {
        for stored in all where !stored.hasProblem {
            let name = stored.function.name
            guard let known = records.read(name) else {
                writeRecord(of: stored)
                continue
            }
            if known.function.updatedAt > stored.function.updatedAt {
                context.logger.warning(
                    """
                    \(records.path)/\(name).json is newer than the registry: it has version \
                    \(known.versions.last?.version ?? 0) of \(name), the registry \(stored.versions.last?.version ?? 0); if that \
                    is missing, stop the gateway and run it once with --rebuild
                    """)
            } else if known.versions != stored.versions {
                writeRecord(of: stored)
            }
        }
    }

    // MARK: Files

    /// Removes the files of a version that is not kept: its folder, and its bundle if no other version needs it.
    func removeFiles(of files: Removal) {
        if functions[files.name]?.version(files.version) == nil {
            do throws(BundleStoreError) {
                try bundles.removeFolder(of: files.name, version: files.version)
                bundles.removeEmptyFolder(of: files.name)
            } catch {
                context.logger.warning("files of \(files.name)@\(files.version) are not removed: \(error)")
                return
            }
        }
        if removeUnused(files.bundle) { try? store.forget([files]) }
    }

    /// Removes everything of a version that is not kept: its files, and its image if no other version needs it.
    func discard(_ version: VersionRecord) {
        removeFiles(of: Removal(version))
        releaseImage(of: version, isLast: false)
    }

    /// Removes everything of a version that has been dropped. If a change of its function is under way, this waits
    /// until the change is over: the change may be about a new version with the same number.
    func discardDropped(_ version: VersionRecord) {
        if isChanging(version.name) { postponed.append(version) } else { discard(version) }
    }

    func discardPostponed(of name: String) {
        let versions = postponed.filter { $0.name == name }
        postponed.removeAll { $0.name == name }
        for version in versions { discard(version) }
    }

    /// Releases the image of a version.
    ///
    /// - Parameter isLast: whether the function is gone.
    @discardableResult
    func releaseImage(of record: VersionRecord, isLast: Bool) -> Promise<Void> {
        let isUsed = functions.values.contains { $0.versions.contains { $0.record.imageID == record.imageID } }
        return containers.releaseImage(of: record, isLast: isLast, isUsed: isUsed)
    }

    /// Removes a bundle, unless a version or a deploy needs it.
    ///
    /// - Returns: false if the bundle could not be removed. That is tried again later.
    @discardableResult
    func removeUnused(_ bundle: String) -> Bool {
        guard BundleStore.isName(bundle), !isNeeded(bundle) else { return true }
        do throws(BundleStoreError) {
            try bundles.remove(bundle)
            try? store.forget([Removal(bundle: bundle)])
            return true
        } catch {
            context.logger.warning("bundle \(bundle) is not removed: \(error)")
            return false
        }
    }

    private func isNeeded(_ bundle: String) -> Bool {
        deploying.contains(bundle)
            || functions.values.contains { $0.versions.contains { $0.record.bundle == bundle } }
    }

    /// Removes the marked files that no version needs: uploads that were never deployed, and the files of deploys and
    /// deletes that did not finish.
    ///
    /// - Parameter uploadedBefore: uploads that came after this time stay, in milliseconds since 1970.
    func removeMarked(uploadedBefore: Int64) {
        let removals: [Removal]
        do throws(RegistryError) { removals = try store.removals() } catch {
            context.logger.warning("cannot read which files are to be removed: \(error)")
            return
        }
        for removal in removals {
            if removal.isUpload {
                if removal.since < uploadedBefore { removeUnused(removal.bundle) }
                continue
            }
            // A deploy that is under way, or a finished deploy that the registry has lost and the record holds.
            if isChanging(removal.name) || isRecorded(removal) { continue }
            removeFiles(of: removal)
            if functions[removal.name] == nil {
                logs.endLeft(
                    of: removal.name, because: "function \"\(removal.name)\" was not deployed when its gateway ended")
            }
        }
    }

    private func isRecorded(_ removal: Removal) -> Bool {
        records.read(removal.name)?.versions.contains {
            $0.version == removal.version && $0.bundle == removal.bundle
        } ?? false
    }

    /// Logs the files in the data folder that no row knows.
    func logUnknownFiles() {
        let versions = functions.values.flatMap(\.versions).map(\.record)
        let marked = (try? store.removals()) ?? []
        let numbers = versions.map { ($0.name, $0.version) } + marked.map { ($0.name, $0.version) }
        let found: [String]
        do throws(BundleStoreError) {
            found = try bundles.unknown(
                besides: Set(versions.map(\.bundle) + marked.map(\.bundle)),
                versions: Dictionary(grouping: numbers) { $0.0 }.mapValues { found in Set(found.map { $0.1 }) })
        } catch {
            context.logger.warning("\(error)")
            return
        }
        let lost = ((try? records.all()) ?? []).map { $0.name }.filter { functions[$0] == nil }
        guard !found.isEmpty || !lost.isEmpty else { return }
        let shown = (lost.map { "records/\($0).json" } + found).prefix(Self.unknownShown).joined(separator: ", ")
        let rest = lost.count + found.count - Self.unknownShown
        context.logger.warning(
            """
            the registry does not know of \(shown)\(rest > 0 ? " and \(rest) more" : ""): these files stay. If functions are missing, \
            stop the gateway and run it once with --rebuild; if none are missing, delete these files by hand
            """)
    }

    private static let unknownShown = 5

    // MARK: Logs

    /// The log of a function of this gateway. This includes a function whose first deploy is under way and, for some
    /// time, a function that is deleted or whose deploy failed.
    func log(of name: String) throws(FunctionError) -> FunctionLog {
        if let owner = owner(of: name) { throw .logElsewhere(name, owner) }
        if let log = functions[name]?.log ?? startingLogs[name] ?? logs.ended(of: name) { return log }
        return try function(named: name).log
    }

    // MARK: Regular work

    /// Removes leftovers that are old enough, and writes what could not be written before.
    func tidy() {
        let uploadsMillis = Int64(context.limits.uploadsUnused.inSeconds * 1_000)
        removeMarked(uploadedBefore: LogTime.now() - uploadsMillis)
        logs.removeEnded()
        for name in unrecorded {
            guard let function = functions[name] else {
                unrecorded.remove(name)
                continue
            }
            writeRecord(of: StoredFunction(function.record, versions: function.versions.map(\.record)))
        }
        reserve.refill()
        store.checkpoint()
    }

    /// Removes the environments that no kept version needs.
    ///
    /// - Parameter atOnce: whether to remove all unneeded environments, or only those that have been unneeded for long
    ///   enough.
    func removeUnusedEnvironments(atOnce: Bool) async {
        // A deploy that is under way may need an environment that no record names yet.
        guard !atOnce || deploying.isEmpty else { return }
        var needed = Set(endingPlans.compactMap(\.environment))
        var areAllKnown = true
        for version in functions.values.flatMap(\.versions) where version.damage == nil {
            if let key = version.plan?.environment { needed.insert(key) }
            do throws(FunctionError) {
                if let key = try await planner.environment(of: version.record) { needed.insert(key) }
            } catch {
                areAllKnown = false
            }
        }
        guard !atOnce || (areAllKnown && deploying.isEmpty) else { return }
        let unused = atOnce ? Duration.zero : context.limits.environmentsUnused
        for key in planner.removeEnvironments(besides: needed, unusedFor: unused) {
            context.logger.info("environment \(key) is removed: no function needs it")
        }
    }
}
