import FunctionConfig
import Testing

@Suite struct SuggestionTests {
    static let cases: [(String, [String], String?)] = [
        ("replica", ["replicas", "runtime"], "replicas"),
        ("lst", ["list", "log", "delete"], "list"),
        ("fnction", ["function", "runtime"], "function"),
        ("ecoh", ["echo", "each"], "echo"),
        ("Echo", ["echo"], "echo"),
        ("env", ["environment", "desc"], "environment"),
        ("description", ["desc", "deploy"], "desc"),
        ("xyz", ["echo", "ocr"], nil),
        ("", ["echo"], nil),
        ("a", ["b", "c"], "b"),
        ("echo", [], nil),
    ]

    @Test(arguments: cases)
    func nearest(word: String, known: [String], expected: String?) {
        #expect(Suggestion.nearest(to: word, among: known) == expected)
    }

    @Test func saysNothingWithoutANearWord() {
        #expect(Suggestion.clause(for: "zzz", among: ["echo"]) == "")
        #expect(Suggestion.clause(for: "ech", among: ["echo"]) == "; did you mean \"echo\"?")
    }
}
