import FunctionConfig
import GRDB
import ControlPlane
import Glibc
import Platform
import TestSupport
import Testing

@Suite struct FunctionStoreTests {
    let work: TemporaryFolder
    var path: String { work.path + "/registry.sqlite" }

    init() throws { work = try TemporaryFolder() }

    private func version(_ name: String, _ number: Int, traffic: Int = 100) -> VersionRecord {
        VersionRecord(
            name: name, version: number, image: "me/\(name)", config: "runtime: python3\n",
            bundle: String(repeating: "a", count: 64),
            labels: ["team": "vision", "é": "\"quoted\""], annotations: ["a": ""], environment: ["KEY": "value=1"],
            replicas: ReplicaRange(min: 0, max: 2), traffic: traffic, createdAt: 1_700_000_000_000)
    }

    private func stored(_ name: String, versions: [VersionRecord]? = nil, invocations: UInt64 = 0) -> StoredFunction {
        StoredFunction(
            FunctionRecord(
                name: name, invocations: invocations, createdAt: 1_700_000_000_000, updatedAt: 1_700_000_000_001),
            versions: versions ?? [version(name, 1)])
    }

    @Test func whatIsSavedIsThereAfterReopening() throws {
        let store = try FunctionStore(path: path)
        let both = stored("b", versions: [version("b", 1, traffic: 10), version("b", 2, traffic: 90)])
        try store.save(stored("b"))
        try store.save(stored("a"))
        try store.save(both)
        #expect(try store.all() == [stored("a"), both])
        // Opened again while the first store is still open, as after a crash: the changes are in the write-ahead log.
        let again = try FunctionStore(path: path)
        #expect(try again.all() == [stored("a"), both])
        #expect(try again.function(named: "a") == stored("a"))
        #expect(try again.function(named: "c") == nil)
    }

    @Test func versionsComeAndGo() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a", versions: (1...10).map { version("a", $0, traffic: $0 == 10 ? 100 : 0) }))
        try store.save(stored("other", versions: [version("other", 2)]))
        var scaled = version("a", 11, traffic: 60)
        scaled.replicas = ReplicaRange(min: 3, max: 5)
        let after = stored("a", versions: [version("a", 2, traffic: 40), version("a", 9, traffic: 0), scaled])
        try store.save(after)
        #expect(try FunctionStore(path: path).function(named: "a") == after)
        #expect(try store.function(named: "other")?.versions == [version("other", 2)])
        try store.delete("a")
        #expect(try store.all().map(\.function.name) == ["other"])
        // A new function of the same name gets nothing of the deleted one.
        try store.save(stored("a"))
        #expect(try store.function(named: "a") == stored("a"))
    }

    @Test func aCrashLosesNothingThatWasSaved() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a"))
        // A copy of the files as they are on the disk at this moment.
        for suffix in ["", "-wal"] {
            try WholeFile.replace(
                work.path + "/copy.sqlite" + suffix, with: try WholeFile.read(path + suffix, limit: 1 << 24))
        }
        #expect(try FunctionStore(path: work.path + "/copy.sqlite").all() == [stored("a")])
    }

    @Test func theTablesOfTheFirstReleaseAreBroughtUpToDate() throws {
        // The table as its migration made it.
        let queue = try DatabaseQueue(path: path)
        try queue.write { database in
            try database.execute(
                sql: """
                    CREATE TABLE "function" (
                        "name" TEXT PRIMARY KEY NOT NULL, "version" INTEGER NOT NULL, "image" TEXT NOT NULL,
                        "config" TEXT NOT NULL, "bundle" TEXT NOT NULL, "labels" TEXT NOT NULL,
                        "annotations" TEXT NOT NULL, "environment" TEXT NOT NULL, "replicas" INTEGER NOT NULL,
                        "invocations" INTEGER NOT NULL, "createdAt" INTEGER NOT NULL, "updatedAt" INTEGER NOT NULL
                    ) STRICT;
                    CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
                    INSERT INTO grdb_migrations VALUES ('1 functions');
                    INSERT INTO function VALUES ('a', 7, 'me/a', 'runtime: python3', '\(String(repeating: "b", count: 64))',
                        '{"team":"vision"}', '{}', '{"KEY":"value=1"}', 3, 41, 1700000000000, 1700000000001);
                    INSERT INTO function VALUES ('z', 1, '', '', '', '{}', '{}', '{}', 1, 0, 5, 5);
                    """)
        }
        try queue.close()
        let store = try FunctionStore(path: path)
        let versions = [
            VersionRecord(
                name: "a", version: 7, image: "me/a", config: "runtime: python3",
                bundle: String(repeating: "b", count: 64), labels: ["team": "vision"],
                environment: ["KEY": "value=1"], replicas: ReplicaRange(min: 3, max: 3), traffic: 100,
                createdAt: 1_700_000_000_001)
        ]
        let function = FunctionRecord(
            name: "a", invocations: 41, createdAt: 1_700_000_000_000, updatedAt: 1_700_000_000_001)
        #expect(try store.function(named: "a") == StoredFunction(function, versions: versions))
        #expect(try store.all().map(\.function.name) == ["a", "z"])
        // Migrated functions can be changed and deleted like others.
        try store.save(StoredFunction(function, versions: versions + [version("a", 8, traffic: 0)]))
        #expect(try store.delete("a"))
        #expect(try store.all().map(\.function.name) == ["z"])
    }

    @Test func synchronousIsFull() throws {
        #expect(try FunctionStore(path: path).synchronousMode() == 2)
        #expect(try FunctionStore(path: path).synchronousMode() == 2)
    }

    @Test func functionsAreDeleted() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a"))
        #expect(try store.delete("a"))
        #expect(try !store.delete("a"))
        #expect(try store.all().isEmpty)
    }

    @Test func invocationsAddUpAndDoNotOverflow() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a"))
        try store.save(stored("full", invocations: .max))
        try store.addCalls(["a": 3, "gone": 5, "full": 1])
        try store.addCalls(["a": 4, "full": .max])
        // A change of the function does not change its count.
        try store.save(stored("a", versions: [version("a", 2)], invocations: 1))
        #expect(try store.function(named: "a")?.function.invocations == 7)
        #expect(try store.function(named: "full")?.function.invocations == UInt64(Int64.max))
    }

    @Test func aNewerRegistryIsRefused() throws {
        try FunctionStore(path: path).close()
        let queue = try DatabaseQueue(path: path)
        try queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('9 from the future')") }
        try queue.close()
        #expect(throws: RegistryError.newer(path: path)) { try FunctionStore(path: path) }
    }

    @Test func aDamagedRegistryIsCalledThat() throws {
        try work.write("registry.sqlite", String(repeating: "this is no database ", count: 100))
        #expect { try FunctionStore(path: path) } throws: { error in
            guard case .damaged = error as? RegistryError else { return false }
            return "\(error)".contains(path) && "\(error)".contains("move the registry")
        }
    }

    @Test func aDamagedPageIsFound() throws {
        let store = try FunctionStore(path: path)
        for number in 0..<200 { try store.save(stored("f\(number)")) }
        try store.close()
        var bytes = try WholeFile.read(path, limit: 1 << 24)
        for index in 8192..<min(bytes.count, 16384) { bytes[index] = 0xA5 }
        try WholeFile.replace(path, with: bytes)
        #expect { try FunctionStore(path: path) } throws: { error in
            guard case .damaged = error as? RegistryError else { return false }
            return true
        }
    }

    @Test func aFolderThatIsNotThereIsNamed() throws {
        #expect { try FunctionStore(path: "/none/registry.sqlite") } throws: {
            "\($0)".contains("/none/registry.sqlite")
        }
    }

    /// Changes rows, as a person could with sqlite3.
    private func execute(_ sql: String) throws {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.writeWithoutTransaction { try $0.execute(sql: sql) }
        try queue.close()
    }

    @Test func aBadRowIsAProblemOfItsFunctionAlone() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a", versions: [version("a", 1, traffic: 0), version("a", 2)]))
        try store.save(stored("b"))
        try execute("UPDATE version SET environment = 'x{', replicasMin = -3 WHERE name = 'a' AND version = 2")
        let found = try store.all()
        #expect(found.map(\.function.name) == ["a", "b"])
        #expect(found[1] == stored("b"))
        #expect(found[0].versions.map(\.version) == [1, 2])
        #expect(found[0].problem == nil)
        #expect(found[0].versionProblems.keys.sorted() == [2])
        let problem = try #require(found[0].versionProblems[2])
        #expect(problem.contains("environment is \"x{\"") && problem.contains("replicasMin is -3"))
        // A change of the function changes only the columns that may change, and the rest of the row stays.
        var changed = found[0]
        changed.versions[0].traffic = 100
        changed.versions[1].traffic = 0
        try store.save(changed)
        let again = try store.all()
        #expect(again[0].versionProblems[2]?.contains("environment is \"x{\"") == true)
        #expect(again[0].versions.map(\.traffic) == [100, 0])
        try execute("UPDATE version SET environment = '{\"KEY\":\"value=1\"}' WHERE name = 'a' AND version = 2")
        #expect(try !store.all()[0].hasProblem)
    }

    @Test func rowsThatAreMissingAreSaid() throws {
        let store = try FunctionStore(path: path)
        for name in ["a", "b", "c"] { try store.save(stored(name, invocations: 5)) }
        try store.close()
        try execute("DELETE FROM version WHERE name = 'a'")
        try execute("DELETE FROM function WHERE name = 'b'")
        let again = try FunctionStore(path: path)
        let found = try again.all()
        #expect(found.map(\.function.name) == ["a", "b", "c"])
        #expect(found[0].problem?.contains("no version") == true)
        #expect(found[0].versions.map(\.version) == [0])
        #expect(!found[1].hasProblem && found[1].versions == [version("b", 1)])
        // The stand-in for a missing version is never written.
        try again.save(found[0])
        #expect(try again.all()[0].versions.map(\.version) == [0])
        try again.addCalls(["b": 2])
        #expect(try again.function(named: "b")?.function.invocations == 2)
    }

    @Test func aChangedBundleIsWritten() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a"))
        var other = version("a", 1)
        other.bundle = String(repeating: "b", count: 64)
        try store.save(stored("a", versions: [other]))
        #expect(try FunctionStore(path: path).function(named: "a")?.versions == [other])
    }

    @Test func onlyWhatIsMarkedMayGo() throws {
        let store = try FunctionStore(path: path)
        try store.mark(Removal(bundle: "upload", since: 1))
        try store.mark(Removal(bundle: "upload", since: 7))
        try store.mark(Removal(bundle: String(repeating: "a", count: 64), since: 8))
        try store.mark(Removal(bundle: String(repeating: "a", count: 64), name: "a", version: 2, since: 9))
        #expect(try store.removals().map(\.since) == [7, 8, 9])
        // Saving a version removes its marks.
        try store.save(stored("a", versions: [version("a", 1, traffic: 0), version("a", 2)]))
        #expect(try store.removals().map(\.bundle) == ["upload"])
        // A version that is no longer kept is marked, and so are the versions of a deleted function.
        try store.save(stored("a", versions: [version("a", 2)]))
        #expect(try store.removals().filter { !$0.isUpload }.map(\.version) == [1])
        try store.delete("a")
        #expect(try FunctionStore(path: path).removals().filter { $0.name == "a" }.map(\.version).sorted() == [1, 2])
        try store.forget(try store.removals())
        #expect(try store.removals().isEmpty)
    }

    @Test func theRegistrysOwnFileHasIt() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a"))
        try WholeFile.replace(work.path + "/copy.sqlite", with: try WholeFile.read(path, limit: 1 << 24))
        #expect(try FunctionStore(path: work.path + "/copy.sqlite").all() == [stored("a")])
        #expect(try WholeFile.read(path + "-wal", limit: 1 << 24).isEmpty)
    }

    @Test(arguments: [
        ("*** in database main ***\nPage 3: unable to get the page. error code=266", true),
        ("Tree 4 page 7: btreeInitPage() returns error code 11", false), ("disk I/O error", true),
        ("unable to get the page. error code=11", false), ("row 3 missing from index x", false),
    ])
    func aReadErrorIsNotDamage(found: String, isRead: Bool) throws {
        let error = RegistryError(path: "/x", check: found)
        if case .unreadable = error { #expect(isRead) } else { #expect(!isRead) }
        #expect("\(error)".contains(isRead ? "disk" : "--rebuild"))
    }

    @Test func tablesOfAnotherMakeAreRefused() throws {
        try FunctionStore(path: path).close()
        try execute("CREATE TABLE v AS SELECT * FROM version; DROP TABLE version; ALTER TABLE v RENAME TO version")
        #expect { try FunctionStore(path: path) } throws: { "\($0)".contains("--rebuild") }
    }

    @Test func recordsSayWhatTheRegistryDoes() throws {
        let records = RecordFolder(path: work.path + "/records")
        #expect(try records.all().isEmpty)
        let both = stored("b", versions: [version("b", 1, traffic: 10), version("b", 2, traffic: 90)], invocations: 7)
        try records.write(both)
        try records.write(stored("a"))
        #expect(records.read("b") == both)
        #expect(records.read("c") == nil)
        // A record of an older release, which had fewer fields.
        let text = try work.read("records/a.json")
        try work.write(
            "records/a.json", text.split(separator: "\n").filter { !$0.contains("imageUser") }.joined(separator: "\n"))
        #expect(records.read("a") == stored("a"))
        try work.write("records/c.json", "{\"format\": 99}")
        try work.write("records/d.json", "{")
        let all = try records.all()
        #expect(all.map(\.name) == ["a", "b", "c", "d"])
        #expect { try all[2].record.get() } throws: { "\($0)".contains("format 99") }
        #expect { try all[3].record.get() } throws: { "\($0)".contains("not JSON") }
        try records.remove("b")
        try records.remove("b")
        #expect(records.read("b") == nil)
    }
}
