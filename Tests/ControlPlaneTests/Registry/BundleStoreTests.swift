import Environments
import ControlPlane
import Glibc
import Platform
import SystemPackage
import TestSupport
import Testing

@Suite struct BundleStoreTests {
    let work: TemporaryFolder
    let source: TemporaryFolder
    let store: BundleStore

    init() throws {
        work = try TemporaryFolder()
        source = try TemporaryFolder()
        store = try BundleStore(dataFolder: work.path)
    }

    /// The bytes of a bundle, and their SHA-256.
    private func bundle(_ content: String) throws -> (bytes: [UInt8], sha256: String) {
        try source.write("handler.py", content)
        var bytes: [UInt8] = []
        let summary = try Bundle.pack(folder: source.path) { bytes += $0 }
        return (bytes, summary.sha256)
    }

    private func put(_ content: String) throws -> String {
        let bundle = try bundle(content)
        let writer = try store.begin(sha256: bundle.sha256, size: UInt64(bundle.bytes.count))
        for start in stride(from: 0, to: bundle.bytes.count, by: 700) {
            try writer.append(Array(bundle.bytes[start..<min(start + 700, bundle.bytes.count)]))
        }
        #expect(!store.contains(bundle.sha256))
        try writer.commit()
        return bundle.sha256
    }

    @Test func aBundleIsThereOnceCommitted() throws {
        let name = try put("1")
        #expect(store.contains(name))
        #expect(try WholeFile.read(store.path(name), limit: 1 << 20) == bundle("1").bytes)
        #expect(try work.tree("uploads").isEmpty)
        let folder = try store.unpack(name, function: "echo", version: 3)
        #expect(folder == work.path + "/functions/echo/3")
        #expect(try work.read("functions/echo/3/handler.py") == "1")
        // Unpacks a second time over the same folder.
        try work.write("functions/echo/3/stray", "")
        try store.unpack(name, function: "echo", version: 3)
        #expect(try work.tree("functions") == ["functions/echo/", "functions/echo/3/", "functions/echo/3/handler.py"])
        #expect(try work.tree("uploads").isEmpty)
    }

    @Test func whatIsWrongIsNotTaken() throws {
        let good = try bundle("1")
        let size = UInt64(good.bytes.count)
        let tooMuch = try store.begin(sha256: good.sha256, size: size)
        #expect(throws: BundleStoreError.wrongSize(announced: size, came: size + 1)) {
            try tooMuch.append(good.bytes + [0])
        }
        let tooLittle = try store.begin(sha256: good.sha256, size: size)
        try tooLittle.append([1])
        #expect(throws: BundleStoreError.wrongSize(announced: size, came: 1)) { try tooLittle.commit() }
        let other = try store.begin(sha256: good.sha256, size: 1)
        try other.append([1])
        #expect { try other.commit() } throws: { "\($0)".contains("not \(good.sha256) as announced") }
        for name in ["", "../../etc/passwd", String(repeating: "A", count: 64), String(repeating: "a", count: 63)] {
            #expect(throws: BundleStoreError.badName(name)) { _ = try store.begin(sha256: name, size: 1) }
            #expect(!store.contains(name))
        }
        #expect { _ = try store.begin(sha256: good.sha256, size: 10 << 30) } throws: { "\($0)".contains("is the most") }
        #expect(!store.contains(good.sha256))
        #expect(try work.tree("bundles").isEmpty)
        #expect(throws: BundleStoreError.unknown(good.sha256)) {
            try store.unpack(good.sha256, function: "f", version: 1)
        }
    }

    @Test func aWriterThatIsDroppedLeavesNothing() throws {
        let good = try bundle("1")
        do {
            let writer = try store.begin(sha256: good.sha256, size: 100_000)
            try writer.append(good.bytes)
            #expect(try work.tree("uploads").count == 1)
            _ = consume writer
        }
        #expect(try work.tree("uploads").isEmpty)
    }

    @Test func theSameBundleTwiceAtOnce() throws {
        let good = try bundle("1")
        let size = UInt64(good.bytes.count)
        let writers = try (0..<2).map { _ in try store.begin(sha256: good.sha256, size: size) }
        for writer in writers { try writer.append(good.bytes) }
        for writer in writers { try writer.commit() }
        #expect(store.contains(good.sha256))
    }

    @Test func whatADeadProcessLeftIsRemoved() throws {
        try work.write("uploads/7", "half")
        try work.write("uploads/8/handler.py", "half")
        _ = try BundleStore(dataFolder: work.path)
        #expect(try work.tree("uploads").isEmpty)
    }

    @Test func whatNobodyKnowsIsToldAndStays() throws {
        let first = try put("1")
        let second = try put("2")
        try store.unpack(first, function: "a", version: 1)
        try store.unpack(second, function: "a", version: 2)
        try store.unpack(second, function: "b", version: 1)
        let before = try work.tree()
        #expect(
            try store.unknown(besides: [second], versions: ["a": [2]])
                == [
                    "bundles/\(first).tar", "functions/a/1", "functions/b",
                ].sorted())
        #expect(try store.unknown(besides: [first, second], versions: ["a": [1, 2], "b": [1]]).isEmpty)
        #expect(try BundleStore(dataFolder: work.path).unknown(besides: [], versions: [:]).count == 4)
        #expect(try work.tree() == before)
        #expect(store.holds(first, function: "z", version: 9))
        #expect(store.holds("", function: "a", version: 1))
        #expect(!store.holds("", function: "a", version: 3))
        // A folder that holds another version stays.
        try store.removeFolder(of: "a", version: 1)
        store.removeEmptyFolder(of: "a")
        #expect(try Folder.names(at: work.path + "/functions/a") == ["2"])
        for name in ["", ".", "..", "../bundles", "a/2"] { try store.removeFolder(of: name, version: nil) }
        #expect(store.contains(first) && store.contains(second))
    }

    @Test func aHostileBundleLeavesNothing() throws {
        let bytes = [UInt8](repeating: 7, count: 2048)
        var digest = Digest()
        digest.add(bytes)
        let name = digest.hexadecimal()
        let writer = try store.begin(sha256: name, size: 2048)
        try writer.append(bytes)
        try writer.commit()
        #expect { try store.unpack(name, function: "f", version: 1) } throws: { "\($0)".contains("checksum") }
        #expect(try work.tree("functions").isEmpty)
        #expect(try work.tree("uploads").isEmpty)
    }

    @Test func aFullDiskIsCalledThat() throws {
        let failure = FileError("write", "/x", .noSpace)
        #expect(BundleError.file(failure).isDiskFull)
        #expect("\(failure)" == "cannot write \"/x\": the disk is full")
    }
}
