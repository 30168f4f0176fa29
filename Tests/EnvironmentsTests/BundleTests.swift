import Environments
import Glibc
import Platform
import SystemPackage
import TestSupport
import Testing

@Suite struct BundleTests {
    let folder: TemporaryFolder
    let work: TemporaryFolder
    var archive: String { work.path + "/bundle.tar" }

    init() throws {
        folder = try TemporaryFolder()
        work = try TemporaryFolder()
    }

    private func packed(_ limits: BundleLimits = BundleLimits()) throws -> Bundle.Summary {
        try Bundle.pack(folder: folder.path, toFile: archive, limits: limits)
    }

    private func roundTrip() throws -> [String] {
        _ = try packed()
        try Bundle.unpack(archive, into: work.path + "/out")
        return try work.tree("out").map { String($0.dropFirst(4)) }
    }

    private func packingError(_ limits: BundleLimits = BundleLimits()) -> String? {
        do {
            _ = try packed(limits)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func comesBackAsItWas() throws {
        try folder.write("handler.py", "print('hi')\n")
        try folder.write("run.sh", "#!/bin/sh\n", mode: 0o775)
        try folder.write("data/words é.txt", String(repeating: "x", count: 300_000))
        try folder.write("empty", "")
        try Folder.make(folder.path + "/hollow/inside")
        let summary = try packed()
        #expect(summary.files == 4)
        #expect(summary.sha256.utf8.count == 64)
        let content = try Bundle.unpack(archive, into: work.path + "/out")
        #expect(content.files == 4)
        #expect(content.bytes == 300_022)
        #expect(
            try work.tree("out") == [
                "out/data/", "out/data/words é.txt", "out/empty", "out/handler.py", "out/hollow/", "out/hollow/inside/",
                "out/run.sh",
            ])
        #expect(try work.read("out/handler.py") == "print('hi')\n")
        #expect(try work.read("out/data/words é.txt").utf8.count == 300_000)
        var status = stat()
        stat(work.path + "/out/run.sh", &status)
        #expect(status.st_mode & 0o777 == 0o755)
        stat(work.path + "/out/handler.py", &status)
        #expect(status.st_mode & 0o777 == 0o644)
    }

    @Test func sameContentGivesSameBytes() throws {
        try folder.write("b", "2")
        try folder.write("a", "1", mode: 0o600)
        let first = try packed()
        let other = try TemporaryFolder()
        try other.write("a", "1", mode: 0o664)
        try other.write("b", "2")
        utimes(other.path + "/a", nil)
        var pieces = 0
        let second = try Bundle.pack(folder: other.path) { piece throws(BundleError) in pieces += piece.count }
        #expect(first == second)
        #expect(UInt64(pieces) == second.bytes)
        try other.write("b", "3")
        #expect(try Bundle.pack(folder: other.path) { _ in }.sha256 != first.sha256)
    }

    @Test func pythonsTarReadsIt() async throws {
        try folder.write("handler.py", "x")
        let long = Array(repeating: "long-folder-name-é", count: 15).joined(separator: "/") + "/file"
        try folder.write(long, "deep")
        _ = try packed()
        let collected = LineCollector(limit: 100)
        let python = try #require(["/usr/bin/python3", "/usr/local/bin/python3"].first { Folder.holds($0) })
        let script =
            "import tarfile, sys; t = tarfile.open(sys.argv[1]); print(t.extractfile(sys.argv[2]).read().decode()); print(len(t.getnames()))"
        let outcome = try await ChildCommand(
            launcher: nil, arguments: [python, "-c", script, archive, long], variables: ["LANG": "C.UTF-8"], folder: "/"
        ).run(timeout: .seconds(60)) { collected.add($0) }
        #expect(outcome.isSuccess)
        #expect(collected.all == ["deep", "17"])
    }

    @Test func longNamesComeBack() throws {
        let long = Array(repeating: "a-folder-with-a-name-of-some-length", count: 20).joined(separator: "/") + "/f"
        try folder.write(long, "deep")
        let widest = String(repeating: "w", count: 255)
        try folder.write(widest, "wide")
        #expect(try roundTrip().suffix(1) == [widest])
        #expect(try work.read("out/" + long) == "deep")
    }

    @Test func linksInsideAreFollowed() throws {
        try folder.write("models/one/weights", "w")
        try folder.link("current", to: "models/one")
        try folder.link("weights", to: folder.path + "/models/one/weights")
        #expect(
            try roundTrip() == [
                "current/", "current/weights", "models/", "models/one/", "models/one/weights", "weights",
            ])
    }

    @Test func linksOutAreRefusedByName() throws {
        try folder.link("data/secrets", to: "/etc/passwd")
        let error = try #require(packingError())
        #expect(error.contains("\"data/secrets\""))
        #expect(error.contains("/etc/passwd"))
        #expect(!Folder.holds(archive))
    }

    @Test(arguments: [("up", ".."), ("here", "."), ("self", "self"), ("gone", "missing")])
    func linksThatLeadNowhereAreRefused(name: String, target: String) throws {
        try folder.link(name, to: target)
        let error = try #require(packingError())
        #expect(error.contains("\"\(name)"))
    }

    @Test func aLoopDeepInsideIsFound() throws {
        try folder.write("a/b/file", "")
        try folder.link("a/b/back", to: "../../a")
        #expect(packingError()?.contains("leads back") == true)
    }

    @Test func otherKindsAreRefusedByName() throws {
        mkfifo(folder.path + "/pipe", 0o644)
        #expect(packingError() == "\"pipe\" cannot be packed: it is a named pipe")
        try Folder.remove(folder.path + "/pipe")
        let name = folder.path + "/socket"
        let descriptor = OwnedDescriptor(owning: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor.rawValue, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        #expect(packingError() == "\"socket\" cannot be packed: it is a socket")
    }

    @Test func badNamesAreRefused() throws {
        try folder.write("line\nbreak", "")
        #expect(packingError()?.contains("line\\u{a}break") == true)
        try Folder.remove(folder.path + "/line\nbreak")
        let latin = folder.path.utf8CString.dropLast() + [0x2F, CChar(bitPattern: 0xE9), 0]
        close(open(Array(latin), O_CREAT | O_WRONLY, 0o644))
        #expect(packingError()?.contains("not UTF-8") == true)
    }

    @Test func limitsHold() throws {
        try folder.write("a", "12345")
        try folder.write("b", "12345")
        #expect(packingError(BundleLimits(contentBytes: 10)) == nil)
        #expect(packingError(BundleLimits(contentBytes: 9))?.contains("more than 9 bytes") == true)
        #expect(packingError(BundleLimits(entries: 1))?.contains("more than 1 files") == true)
        #expect(!Folder.holds(archive))
        _ = try packed()
        for limits in [BundleLimits(contentBytes: 9), BundleLimits(entries: 1)] {
            #expect(throws: BundleError.self) { try Bundle.unpack(archive, into: work.path + "/out", limits: limits) }
            #expect(!Folder.holds(work.path + "/out"))
        }
    }

    @Test func leavesOutTheDefaultsAndWhatTheIgnoreFileNames() throws {
        try folder.write(".git/config", "")
        try folder.write("sub/__pycache__/x.pyc", "")
        try folder.link(".venv", to: "/usr")
        try folder.write("notes.md", "")
        try folder.write("handler.py", "")
        try folder.write(".dcfignore", "*.md\n")
        #expect(try roundTrip() == [".dcfignore", "handler.py", "sub/"])
    }

    @Test func theErrorForABadIgnoreFileNamesTheLine() throws {
        try folder.write(".dcfignore", "*.md\n!/\n")
        #expect(packingError() == ".dcfignore, line 2: the pattern is empty")
    }

    @Test func doesNotUnpackIntoAFolderInUse() throws {
        try folder.write("a", "")
        _ = try packed()
        try work.write("out/mine", "keep")
        #expect(throws: BundleError.self) { try Bundle.unpack(archive, into: work.path + "/out") }
        #expect(try work.read("out/mine") == "keep")
    }
}
