import FunctionConfig
import Testing

@Suite struct ParametersTests {
    /// The value of a parameter as YAML, and as JSON.
    static let values: [(String, String)] = [
        ("1", "1"), ("-1", "-1"), ("+1", "1"), ("007", "7"), ("0", "0"), ("0x1F", "31"), ("0o17", "15"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1.5", "1.5"), ("-.5", "-0.5"), ("1.", "1.0"), ("1e3", "1.0e3"), ("1.5E-7", "1.5E-7".lowercased()),
        ("00.5", "0.5"), ("!!float 1", "1.0"),
        ("true", "true"), ("False", "false"), ("yes", "\"yes\""), ("on", "\"on\""),
        ("null", "null"), ("~", "null"), ("", "null"),
        ("text", "\"text\""), ("\"1\"", "\"1\""), ("'true'", "\"true\""), ("!!str 1", "\"1\""), ("! 1", "\"1\""),
        ("2020-01-01", "\"2020-01-01\""), ("12:30", "\"12:30\""), ("1_000", "\"1_000\""), ("1.2.3", "\"1.2.3\""),
        ("-a", "\"-a\""), (".", "\".\""), ("e5", "\"e5\""), ("0x", "\"0x\""), ("1e", "\"1e\""), ("--1", "\"--1\""),
        (#""a\"b\\c\n\t\u0001é🙂""#, #""a\"b\\c\n\t\u0001é🙂""#),
        ("[1, [a, {}], []]", #"[1,["a",{}],[]]"#),
        ("{a: 1, b: {c: null}}", #"{"a":1,"b":{"c":null}}"#),
        ("{1: x, true: y}", #"{"1":"x","true":"y"}"#),
    ]

    @Test(arguments: values)
    func becomesJSON(_ yaml: String, _ json: String) throws {
        let text = "functions:\n  f:\n    parameters:\n      p: \(yaml)\n"
        let function = try #require(try ConfigFile.parse(yaml: text, fileName: "c").functions.first)
        #expect(function.parameters == "{\"p\":\(json)}")
        // The JSON stays the same after the YAML was written and read again.
        let read = try FunctionConfig.parse(yaml: function.yaml, name: function.name)
        #expect(read.parameters == function.parameters)
        #expect(read.yaml == function.yaml)
    }

    @Test func longText() throws {
        let text = """
            functions:
              f:
                parameters:
                  prompt: |
                    first line
                      # indented: yes

                    last
                  folded: >-
                    one
                    two
                  labels:
                  - name: cat
                    id: 1
                  - name: dog
                    id: 2
            """
        let function = try #require(try ConfigFile.parse(yaml: text, fileName: "c").functions.first)
        let json =
            #"{"prompt":"first line\n  # indented: yes\n\nlast\n","folded":"one two","#
            + #""labels":[{"name":"cat","id":1},{"name":"dog","id":2}]}"#
        #expect(function.parameters == json)
        #expect(try FunctionConfig.parse(yaml: function.yaml, name: function.name).parameters == json)
    }
}
