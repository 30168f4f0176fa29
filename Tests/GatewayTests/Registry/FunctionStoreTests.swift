import Environments
import GRDB
import Gateway
import Glibc
import Testing

@Suite struct FunctionStoreTests {
    let work: TemporaryFolder
    var path: String { work.path + "/registry.sqlite" }

    init() throws { work = try TemporaryFolder() }

    private func record(_ name: String, version: Int = 1, invocations: UInt64 = 0) -> FunctionRecord {
        FunctionRecord(
            name: name, version: version, image: "me/\(name)", config: "runtime: python3\n",
            bundle: String(repeating: "a", count: 64),
            labels: ["team": "vision", "é": "\"quoted\""], annotations: ["a": ""], environment: ["KEY": "value=1"],
            replicas: 2,
            invocations: invocations, createdAt: 1_700_000_000_000, updatedAt: 1_700_000_000_001)
    }

    @Test func whatIsSavedIsThereAfterReopening() throws {
        let store = try FunctionStore(path: path)
        try store.save(record("b"))
        try store.save(record("a"))
        try store.save(record("b", version: 2))
        #expect(try store.all() == [record("a"), record("b", version: 2)])
        // Opened again while the first still has it open, as after a crash: the write-ahead log is what there is.
        let again = try FunctionStore(path: path)
        #expect(try again.all() == [record("a"), record("b", version: 2)])
        #expect(try again.function(named: "a") == record("a"))
        #expect(try again.function(named: "c") == nil)
    }

    @Test func aCrashLosesNothingThatWasSaved() throws {
        let store = try FunctionStore(path: path)
        try store.save(record("a"))
        // The files as they were on the disk at this moment.
        for suffix in ["", "-wal"] {
            try WholeFile.replace(
                work.path + "/copy.sqlite" + suffix, with: try WholeFile.read(path + suffix, limit: 1 << 24))
        }
        #expect(try FunctionStore(path: work.path + "/copy.sqlite").all() == [record("a")])
    }

    @Test func synchronousIsFull() throws {
        #expect(try FunctionStore(path: path).synchronousMode() == 2)
        #expect(try FunctionStore(path: path).synchronousMode() == 2)
    }

    @Test func functionsAreDeletedAndScaled() throws {
        let store = try FunctionStore(path: path)
        try store.save(record("a"))
        try store.setReplicas("a", 7)
        #expect(try store.function(named: "a")?.replicas == 7)
        #expect(throws: RegistryError.unknownFunction("b")) { try store.setReplicas("b", 1) }
        #expect(try store.delete("a"))
        #expect(try !store.delete("a"))
        #expect(try store.all().isEmpty)
    }

    @Test func invocationsAddUpAndDoNotOverflow() throws {
        let store = try FunctionStore(path: path)
        try store.save(record("a"))
        try store.save(record("full", invocations: .max))
        try store.addInvocations(["a": 3, "gone": 5, "full": 1])
        try store.addInvocations(["a": 4, "full": .max])
        #expect(try store.function(named: "a")?.invocations == 7)
        #expect(try store.function(named: "full")?.invocations == UInt64(Int64.max))
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
        for number in 0..<200 { try store.save(record("f\(number)")) }
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
