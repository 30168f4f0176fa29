import Environments
import TestSupport
import Testing

/// The rules of `docker build`, which differ from those of `.gitignore`.
@Suite struct DockerIgnoreRulesTests {
    @Test(
        arguments: [
            // From the top of the folder, with everything below.
            ("data.bin", "data.bin", true), ("data.bin", "sub/data.bin", false), ("/data.bin", "data.bin", true),
            ("data", "data/deep/x", true), ("data/", "data/x", true), ("data/", "data", true), ("*.key", "a.key", true),
            ("*.key", "sub/a.key", false), ("*/*.key", "sub/a.key", true), ("*/*.key", "a/b/c.key", false),
            ("**/*.key", "a.key", true), ("**/*.key", "a/b/c.key", true), ("**/data", "a/data/x", true),
            ("**.key", "a/b.key", true), ("a/**", "a/x/y", true), ("a/**", "a", false), ("**", "x/y", true),
            ("a/**/z", "a/z", true), ("a/**/z", "a/b/c/z", true), ("a/**/z", "az", false), ("a**/z", "ab/z", true),
            ("temp?", "tempa", true), ("temp?", "temp", false), ("te?p", "te/p", false),
            ("[a-c].py", "b.py", true), ("[^a-c].py", "b.py", false), ("a\\*b", "a*b", true), ("a\\*b", "axb", false),
            // Comments and white space. A name may start with a #.
            ("# x", "# x", false), ("  x  ", "x", true), ("\\#x", "#x", true), ("", "x", false),
            // The last match decides, even inside a folder that is left out.
            ("*\n!keep", "keep", false), ("*\n!keep", "other", true), ("!x\nx", "x", true),
            ("data\n!data/keep", "data/keep", false), ("data\n!data/keep", "data/keep/deep", false),
            ("data\n!data/keep\ndata/keep/no", "data/keep/no", true),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md", true
            ), ("**/*.md\n!a/*.md", "a/x.md", false), ("! keep\nkeep", "keep", true),
            // Paths that are not in their shortest form.
            ("./a//b/../c", "a/c", true), ("a/./b", "a/b", true), ("\u{FEFF}x", "x", true),
            // The engine needs these and keeps them out of the image itself.
            ("*", "Dockerfile", false), ("Dockerfile*\n.dockerignore", ".dockerignore", false),
            ("Dockerfile", "sub/Dockerfile", false), ("*/Dockerfile", "sub/Dockerfile", true),
            ("*a*a*a*a*b", String(repeating: "a", count: 300), false),
        ])
    func patterns(content: String, path: String, leftOut: Bool) throws {
        let rules = try DockerIgnoreRules(Array(content.utf8))
        #expect(rules.leavesOut(path.split(separator: "/").map(String.init)) == leftOut)
    }

    @Test(arguments: ["[a", "ok\n[z-a]", "!", "! ", "[]"])
    func refusesLinesThatAreNotPatterns(content: String) {
        let line = content.hasPrefix("ok") ? 2 : 1
        #expect {
            _ = try DockerIgnoreRules(Array(content.utf8))
        } throws: { "\($0)".hasPrefix(".dockerignore, line \(line): ") }
    }

    @Test func onlyABuildOfAnImageReadsTheFile() throws {
        let folder = try TemporaryFolder()
        try folder.write(".dockerignore", "secret\ndata\n!data/keep\n")
        try folder.write(".dcfignore", "other\n")
        for name in ["secret", "other", "handler.py", "data/big", "data/keep"] { try folder.write(name, "x") }
        func packed(forImage: Bool) throws -> [String] {
            var bytes: [UInt8] = []
            try Bundle.pack(folder: folder.path, forImage: forImage) { bytes += $0 }
            return stride(from: 0, to: bytes.count, by: 512).compactMap { start in
                let name = String(decoding: bytes[start..<start + 100].prefix { $0 != 0 }, as: UTF8.self)
                return bytes[start + 257..<start + 262].elementsEqual(Array("ustar".utf8)) ? name : nil
            }.sorted()
        }
        #expect(try packed(forImage: true) == [".dcfignore", ".dockerignore", "data/keep", "handler.py"])
        #expect(
            try packed(forImage: false) == [
                ".dcfignore", ".dockerignore", "data/", "data/big", "data/keep", "handler.py", "secret",
            ])
    }
}
