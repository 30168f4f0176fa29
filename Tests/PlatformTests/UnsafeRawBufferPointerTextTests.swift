import Platform
import Testing

/// The comparisons of a header's bytes with constant text.
@Suite struct UnsafeRawBufferPointerTextTests {
    private func with<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        var text = text
        return text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    @Test(arguments: [
        ("te", true), ("", false), ("t", false), ("ta", false), ("te ", false), ("TE", false), ("trailers", false),
    ])
    func isEqual(_ text: String, _ expected: Bool) {
        #expect(with(text) { $0.isEqual(to: "te") } == expected)
    }

    @Test(arguments: [
        ("grpc-", true), ("grpc-timeout", true), ("", false), ("grpc", false), ("grpd-timeout", false),
        ("xgrpc-", false),
    ])
    func hasPrefix(_ text: String, _ expected: Bool) {
        #expect(with(text) { $0.hasPrefix("grpc-") } == expected)
    }

    @Test(arguments: [
        ("-bin", true), ("key-bin", true), ("", false), ("bin", false), ("key-bin2", false), ("key_bin", false),
    ])
    func hasSuffix(_ text: String, _ expected: Bool) {
        #expect(with(text) { $0.hasSuffix("-bin") } == expected)
    }

    @Test func emptyText() {
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(nothing.isEqual(to: "") && nothing.hasPrefix("") && nothing.hasSuffix(""))
        #expect(with("a") { !$0.isEqual(to: "") && $0.hasPrefix("") && $0.hasSuffix("") })
    }
}
