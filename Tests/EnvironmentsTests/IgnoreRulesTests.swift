import Environments
import Platform
import Testing

@Suite struct IgnoreRulesTests {
    @Test(
        arguments: [
            ("*.log", "a.log", true), ("*.log", "deep/er/a.log", true), ("*.log", "a.log.txt", false),
            ("/a.log", "a.log", true), ("/a.log", "sub/a.log", false), ("sub/a", "sub/a", true),
            ("sub/a", "x/sub/a", false),
            ("build/", "build/", true), ("build/", "x/build/", true), ("build/", "build", false),
            ("**/tmp", "tmp", true), ("**/tmp", "a/b/tmp", true), ("a/**", "a/x", true), ("a/**", "a/", false),
            ("a/**/z", "a/z", true), ("a/**/z", "a/b/c/z", true), ("a/**/z", "b/z", false),
            ("?.py", "a.py", true), ("?.py", "é.py", true), ("?.py", "ab.py", false),
            ("[a-c].py", "b.py", true), ("[!a-c].py", "b.py", false), ("[a", "[a", true), ("\\#x", "#x", true),
            ("\\!x", "!x", true),
            ("# x", "# x", false), ("x  ", "x", true), ("*a*a*a*a*b", String(repeating: "a", count: 200), false),
            ("", "x", false), ("*", "anything", true), ("a*/b", "ax/b", true), ("a*/b", "a/x/b", false),
            ("keep\n!keep", "keep", false), ("!x\nx", "x", true), ("*.txt\n!/a.txt", "a.txt", false),
            ("", ".git/", true), ("", "sub/__pycache__/", true), ("", ".venv", true), ("!.git", ".git/", false),
        ])
    func patterns(content: String, path: String, leftOut: Bool) throws {
        let rules = try IgnoreRules(Array(content.utf8))
        let isFolder = path.hasSuffix("/")
        #expect(rules.leavesOut(path.split(separator: "/").map(String.init), isFolder: isFolder) == leftOut)
    }

    @Test func carriageReturnsAreNotPartOfAPattern() throws {
        #expect(try IgnoreRules(Array("*.md\r\n".utf8)).leavesOut(["a.md"], isFolder: false))
    }
}
