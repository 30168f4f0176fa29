import FunctionConfig
import Testing

@Suite struct ConfigEditorTests {
    static let body = ["runtime: python3", "handler:", "  dir: ./new"]

    /// A file, and the file with `new` added.
    static let additions: [(String, String)] = [
        ("", "functions:\n  new:\n    runtime: python3\n    handler:\n      dir: ./new\n"),
        ("# mine\n", "# mine\n\nfunctions:\n  new:\n    runtime: python3\n    handler:\n      dir: ./new\n"),
        ("functions:\n", "functions:\n  new:\n    runtime: python3\n    handler:\n      dir: ./new\n"),
        ("functions: {} # none\n", "functions: # none\n  new:\n    runtime: python3\n    handler:\n      dir: ./new\n"),
        ("functions:  # none", "functions:  # none\n  new:\n    runtime: python3\n    handler:\n      dir: ./new\n"),
        (
            "dcf:\n  gateway: a:1\n",
            "dcf:\n  gateway: a:1\n\nfunctions:\n  new:\n    runtime: python3\n    handler:\n      dir: ./new\n"
        ),
        (
            "functions:\n    old:\n        desc: x # why\n        # of old\n\n# of dcf\ndcf:\n  gateway: a:1\n",
            "functions:\n    old:\n        desc: x # why\n        # of old\n    new:\n      runtime: python3\n"
                + "      handler:\n        dir: ./new\n\n# of dcf\ndcf:\n  gateway: a:1\n"
        ),
        (
            "functions:\n  old:\n    desc: |\n      text\n      # text\n\n",
            "functions:\n  old:\n    desc: |\n      text\n      # text\n  new:\n    runtime: python3\n"
                + "    handler:\n      dir: ./new\n\n"
        ),
        (
            "functions:\r\n  old:\r\n    desc: x\r\n",
            "functions:\r\n  old:\r\n    desc: x\r\n  new:\r\n    runtime: python3\r\n    handler:\r\n      dir: ./new\r\n"
        ),
        (
            "functions:\n  old: {desc: x}",
            "functions:\n  old: {desc: x}\n  new:\n    runtime: python3\n    handler:\n      dir: ./new\n"
        ),
    ]

    @Test(arguments: additions)
    func adds(to text: String, gives expected: String) throws {
        var editor = try ConfigEditor(text: text, fileName: "c")
        try editor.add(function: try FunctionName("new"), body: Self.body)
        #expect(editor.text == expected)
        let file = try ConfigFile.parse(yaml: editor.text, fileName: "c")
        #expect(file.function(named: "new")?.handler.directory == "./new")
    }

    @Test(arguments: [
        "functions: {old: {desc: x}}\n", "{functions: {}}\n", "functions: {\n  old: {}\n}\n",
        "functions:\n  a:\n...\nx\n",
    ])
    func refusesFormsThatItCannotEdit(_ text: String) {
        let error = #expect(throws: ConfigError.self) {
            var editor = try ConfigEditor(text: text, fileName: "c")
            try editor.add(function: try FunctionName("new"), body: Self.body)
        }
        #expect(error?.message.isEmpty == false)
    }

    @Test func refusesANameThatIsTaken() throws {
        var editor = try ConfigEditor(text: "functions:\n  new:\n", fileName: "c")
        let name = try FunctionName("new")
        let error = #expect(throws: ConfigError.self) { try editor.add(function: name, body: Self.body) }
        #expect(error?.description == "c:2: there is a function \"new\" already; choose another name")
    }

    @Test(arguments: [
        ("", "dcf:\n  gateway: \"h:1\"\n"),
        ("functions:\n", "functions:\n\ndcf:\n  gateway: \"h:1\"\n"),
        ("dcf:\nfunctions:\n", "dcf:\n  gateway: \"h:1\"\nfunctions:\n"),
        ("dcf:\n  gateway: a:1 # old\n", "dcf:\n  gateway: \"h:1\" # old\n"),
        ("dcf:\n  gateway: 'a:1'\n", "dcf:\n  gateway: \"h:1\"\n"),
        ("dcf:\n  gateway:\n", "dcf:\n  gateway: \"h:1\"\n"),
        ("dcf:\n  gateway: h:1\n", "dcf:\n  gateway: h:1\n"),
    ])
    func setsTheGateway(in text: String, gives expected: String) throws {
        var editor = try ConfigEditor(text: text, fileName: "c")
        try editor.setGateway("h:1")
        #expect(editor.text == expected)
    }
}
