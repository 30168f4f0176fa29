import Environments
import Glibc
import Platform
import TestSupport
import Testing

@Suite struct HostileArchiveTests {
    let work: TemporaryFolder

    init() throws { work = try TemporaryFolder() }

    /// Unpacks an archive, and expects an error that contains the text, and an empty folder.
    private func expectRefused(_ archive: HostileArchive, _ text: String, _ place: SourceLocation = #_sourceLocation)
        throws
    {
        var limits = BundleLimits()
        limits.contentBytes = 1 << 20
        try WholeFile.replace(work.path + "/a.tar", with: archive.bytes)
        do {
            try Bundle.unpack(work.path + "/a.tar", into: work.path + "/in/out", limits: limits)
            Issue.record("it was unpacked: \(try work.tree())", sourceLocation: place)
        } catch {
            #expect("\(error)".contains(text), sourceLocation: place)
        }
        #expect(try work.tree() == ["a.tar", "in/"], sourceLocation: place)
    }

    private func archive(_ fill: (inout HostileArchive) -> Void) -> HostileArchive {
        var archive = HostileArchive()
        archive.addFile("good")
        fill(&archive)
        archive.end()
        return archive
    }

    @Test(
        arguments: [
            ("/etc/passwd", "absolute"), ("../x", "\"..\""), ("a/../../x", "\"..\""), ("..", "\"..\""),
            ("a/..", "\"..\""),
            ("a\u{1}b", "control characters"), ("a\nb", "control characters"), ("a\u{7f}", "control characters"),
            ("", "no name"), ("dir/", "without a name"),
            (".", "without a name"),
        ])
    func names(name: String, reason: String) throws {
        try expectRefused(archive { $0.addFile(name) }, reason)
        if !name.isEmpty {
            try expectRefused(
                archive {
                    $0.addExtended(HostileArchive.record("path", name)); $0.addFile("fine")
                }, reason)
        }
    }

    @Test func longNames() throws {
        let tenThousand = String(repeating: "n", count: 10_000)
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("path", tenThousand)); $0.addFile("x")
            }, "10000 bytes; 4096")
        let component = String(repeating: "n", count: 256)
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("path", component)); $0.addFile("x")
            }, "256 bytes; 255")
        let deep = Array(repeating: "d", count: 200).joined(separator: "/")
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("path", deep)); $0.addFile("x")
            }, "200 folders deep")
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("path", "a\u{0}b")); $0.addFile("x")
            }, "control characters")
    }

    @Test(
        arguments: [
            ("1", "hard link"), ("2", "symbolic link"), ("3", "device"), ("4", "device"), ("6", "named pipe"),
            ("7", "unknown"),
            ("S", "sparse"), ("L", "GNU long names"), ("K", "GNU long names"), ("V", "unknown"), ("\u{1}", "unknown"),
        ] as [(Character, String)])
    func kinds(type: Character, reason: String) throws {
        try expectRefused(archive { $0.add(HostileArchive.block("evil", type: type, link: "/etc/passwd")) }, reason)
    }

    @Test func duplicates() throws {
        try expectRefused(archive { $0.addFile("good") }, "\"good\" is refused: it appears twice")
        try expectRefused(archive { $0.addFile("./good") }, "twice")
        try expectRefused(archive { $0.addFile("good/inside") }, "\"good\" is a file, not a folder")
        try expectRefused(
            archive { archive in for _ in 0..<2 { archive.add(HostileArchive.block("folder/", type: "5")) } }, "twice")
        try expectRefused(archive { $0.add(HostileArchive.block("good", type: "5")) }, "is a file")
        try expectRefused(
            archive {
                $0.addFile("f/x"); $0.addFile("f")
            }, "twice")
    }

    @Test func sizes() throws {
        try expectRefused(
            archive { $0.add(HostileArchive.block("huge", size: "77777777777")) }, "claims 8589934591 bytes")
        try expectRefused(archive { $0.add(HostileArchive.block("odd", size: "9")) }, "octal")
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("size", "18446744073709551615")); $0.addFile("x")
            }, "18446744073709551615")
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("size", "99999999999999999999")); $0.addFile("x")
            }, "not a number")
        try expectRefused(
            archive { $0.addFile("big", String(repeating: "b", count: 2 << 20)) }, "more than 1048576 bytes")
        try expectRefused(
            archive { $0.add(HostileArchive.block("d/", type: "5", size: "00000000001")) },
            "it is a folder with content")
    }

    @Test func damage() throws {
        let whole = archive { $0.addFile("b", String(repeating: "b", count: 2000)) }
        for cut in [
            0, 1, 511, 512, 600, 1024, 1100, 1536, 2000, whole.bytes.count - 1024, whole.bytes.count - 512,
            whole.bytes.count - 1,
        ] {
            var short = whole
            short.bytes = Array(short.bytes[..<cut])
            try expectRefused(short, "the archive")
        }
        var flipped = whole
        flipped.bytes[3] ^= 1
        try expectRefused(flipped, "checksum")
        var trailing = whole
        trailing.bytes += [0, 0, 1]
        try expectRefused(trailing, "after the archive's end")
        try expectRefused(HostileArchive(bytes: Array("not a tar archive".utf8)), "cut off")
        try expectRefused(archive { $0.add(HostileArchive.block("old", magic: "")) }, "ustar")
    }

    @Test func extendedHeaders() throws {
        try expectRefused(
            archive {
                $0.addExtended("nonsense\n"); $0.addFile("x")
            }, "is not valid")
        try expectRefused(
            archive {
                $0.addExtended("5 a=b\n999 c=d\n"); $0.addFile("x")
            }, "is not valid")
        try expectRefused(archive { $0.addExtended(HostileArchive.record("path", "x")) }, "no entry after it")
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("path", "x"), type: "g"); $0.addFile("y")
            }, "global header")
        try expectRefused(
            archive {
                $0.addExtended(HostileArchive.record("GNU.sparse.major", "1")); $0.addFile("y")
            }, "sparse")
        try expectRefused(
            archive {
                $0.addExtended(String(repeating: "x", count: 70_000)); $0.addFile("y")
            }, "extended header has 70000")
    }

    @Test func aGoodArchiveOfAnotherWriterPasses() throws {
        var archive = HostileArchive()
        archive.addExtended(HostileArchive.record("comment", "by someone"), type: "g")
        archive.add(HostileArchive.block("./", type: "5"))
        archive.add(HostileArchive.block("./sub/", type: "5"))
        archive.addExtended(HostileArchive.record("mtime", "1.5") + HostileArchive.record("path", "./sub/é"))
        archive.addFile("cut", "content")
        archive.addFile("name", "p", prefix: "pre/fix")
        archive.end()
        archive.bytes += [UInt8](repeating: 0, count: 9216)
        try WholeFile.replace(work.path + "/a.tar", with: archive.bytes)
        try Bundle.unpack(work.path + "/a.tar", into: work.path + "/out")
        #expect(try work.tree("out") == ["out/pre/", "out/pre/fix/", "out/pre/fix/name", "out/sub/", "out/sub/é"])
        #expect(try work.read("out/sub/é") == "content")
    }

    /// With any bytes: no crash, nothing outside the folder, and nothing in it after an error.
    @Test(arguments: 0..<8)
    func mutations(seed: Int) throws {
        var random = SplitMix64(state: UInt64(seed) &* 0x9E37_79B9)
        var base = archive { archive in
            archive.addExtended(HostileArchive.record("path", "sub/long") + HostileArchive.record("size", "5"))
            archive.addFile("cut", "12345")
            archive.add(HostileArchive.block("folder/", type: "5"))
            archive.addFile("folder/inner", String(repeating: "i", count: 700))
        }
        let inside = work.path + "/box/in/out"
        var passed = 0
        for _ in 0..<400 {
            let original = base.bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) { base.mutate(using: &random) }
            try WholeFile.writeQuickly(work.path + "/a.tar", base.bytes)
            do {
                try Bundle.unpack(
                    work.path + "/a.tar", into: inside, limits: BundleLimits(contentBytes: 1 << 20, entries: 50))
                passed += 1
                try Folder.remove(inside)
            } catch {
                #expect(!Folder.holds(inside), "\(error)")
            }
            #expect(try work.tree() == ["a.tar", "box/", "box/in/"])
            if Bool.random(using: &random) { base.bytes = original }
            if base.bytes.count > 64 << 10 || base.bytes.isEmpty { base.bytes = original }
        }
        #expect(passed < 400)
    }
}

extension HostileArchive {
    /// Changes a byte, changes a header and corrects its checksum, or removes, doubles or moves a piece.
    mutating func mutate(using random: inout SplitMix64) {
        guard bytes.count > 1 else {
            bytes.append(1)
            return
        }
        let blocks = bytes.count / 512
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        case 1...3 where blocks > 0:
            let start = Int.random(in: 0..<blocks, using: &random) * 512
            var block = Array(bytes[start..<(start + 512)])
            let place = [0, 1, 2, 100, 124, 134, 156, 157, 257, 345].randomElement(using: &random) ?? 0
            let value =
                ["/", ".", "..", "../", "\u{0}", "0", "1", "2", "5", "x", "g", "7", " ", "ÿ"].randomElement(
                    using: &random) ?? ""
            for (index, byte) in value.utf8.enumerated() { block[place + index] = byte }
            bytes.replaceSubrange(start..<(start + 512), with: Self.summed(block))
        case 4 where blocks > 1:
            let start = Int.random(in: 0..<blocks, using: &random) * 512
            let piece = Array(bytes[start..<min(bytes.count, start + 1024)])
            bytes.insert(contentsOf: piece, at: Int.random(in: 0..<blocks, using: &random) * 512)
        default:
            let start = Int.random(in: 0..<bytes.count, using: &random)
            bytes.removeSubrange(start..<min(bytes.count, start + Int.random(in: 1...700, using: &random)))
        }
    }
}

/// Random numbers that are the same in every run.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

extension WholeFile {
    /// Like `replace`, without the wait for the disk.
    static func writeQuickly(_ path: String, _ bytes: [UInt8]) throws {
        try OwnedDescriptor(path, flags: O_WRONLY | O_CREAT | O_TRUNC).write(bytes, path: path)
    }
}
