import FunctionConfig
import Testing

@Suite struct FunctionNameTests {
    @Test(arguments: ["a", "echo", "ssd-test", "a1", "a--b", String(repeating: "a", count: 63)])
    func accepts(_ text: String) throws {
        #expect(try FunctionName(text).text == text)
    }

    @Test(arguments: [
        ("", "the function name is empty"),
        ("Echo", "begins with \"E\""),
        ("1a", "begins with \"1\""),
        ("-a", "begins with \"-\""),
        ("a_b", "contains \"_\""),
        ("a/b", "contains \"/\""),
        ("a\nb", "contains \"\\n\""),
        ("a\u{0}", "contains \"\\u0000\""),
        ("aé", "contains \"é\""),
        ("a-", "ends with \"-\""),
        (String(repeating: "a", count: 64), "has 64 characters; at most 63"),
        (String(repeating: "a", count: 10_000), "aaa...\" has 10000 characters"),
    ])
    func refuses(_ text: String, saying part: String) {
        let error = #expect(throws: InvalidFunctionName.self) { try FunctionName(text) }
        #expect(error?.description.contains(part) == true, "\(String(describing: error))")
        #expect(error?.description.utf8.count ?? 0 < 300)
    }
}
