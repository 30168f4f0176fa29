@testable import Engine
import Testing

@Suite struct LogFramesTests {
    private static func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
        let count = text.utf8.count
        return [stream, 0, 0, 0, 0, 0, UInt8(count >> 8), UInt8(count & 0xFF)] + Array(text.utf8)
    }

    /// The output is the same wherever the bytes are cut.
    @Test(arguments: 1...20)
    func cutAnywhere(size: Int) {
        let long = String(repeating: "x", count: 300)
        let bytes = Self.frame(1, "out\n") + Self.frame(2, "") + Self.frame(2, "error\n") + Self.frame(1, long)
        var frames = LogFrames()
        var output = ""
        var error = ""
        var rest = bytes[...]
        while !rest.isEmpty {
            frames.feed(rest.prefix(size)) { stream, part in
                if stream == .standardError {
                    error += String(decoding: part, as: UTF8.self)
                } else {
                    output += String(decoding: part, as: UTF8.self)
                }
            }
            rest = rest.dropFirst(size)
        }
        #expect(output == "out\n" + long)
        #expect(error == "error\n")
    }
}
