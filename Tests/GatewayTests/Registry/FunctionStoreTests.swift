import Environments
import FunctionConfig
import GRDB
import Gateway
import Glibc
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
        // Opened again while the first still has it open, as after a crash: the write-ahead log is what there is.
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
        // Nothing of the deleted one comes back with one of the same name.
        try store.save(stored("a"))
        #expect(try store.function(named: "a") == stored("a"))
    }

    @Test func aCrashLosesNothingThatWasSaved() throws {
        let store = try FunctionStore(path: path)
        try store.save(stored("a"))
        // The files as they were on the disk at this moment.
        for suffix in ["", "-wal"] {
            try WholeFile.replace(
                work.path + "/copy.sqlite" + suffix, with: try WholeFile.read(path + suffix, limit: 1 << 24))
        }
        #expect(try FunctionStore(path: work.path + "/copy.sqlite").all() == [stored("a")])
    }

    @Test func theTablesOfTheFirstReleaseAreBroughtUpToDate() throws {
        // As its migration made them.
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
        // What was brought along can be changed and deleted as ever.
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
        try store.addInvocations(["a": 3, "gone": 5, "full": 1])
        try store.addInvocations(["a": 4, "full": .max])
        // A change of the function does not touch them.
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
            return "\(error)".contains(path) && "\(error)".contains("move it")
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
}
