@testable import ControlPlane
import Testing

@Suite struct LastLineTests {
    @Test(arguments: [
        ([""], ""), (["a"], "a"), (["a\n"], "a"), (["a\nb", "c\n"], "bc"), (["a\n\n  \n"], "a"), (["a\r\n"], "a"),
    ])
    func theLastThatIsNotBlank(parts: [String], line: String) {
        var last = LastLine()
        for part in parts { last.add(Array(part.utf8)) }
        #expect(last.text == line)
    }
}
