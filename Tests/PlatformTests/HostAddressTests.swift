import Testing

@testable import Platform

@Suite struct HostAddressTests {
    @Test(arguments: [
        ("0.0.0.0:32223", "0.0.0.0", 32_223), ("gateway:0", "gateway", 0), ("[::1]:9", "::1", 9),
    ])
    func itIsANameAndAPort(text: String, host: String, port: UInt16) {
        #expect(HostAddress(text) == HostAddress(host: host, port: port))
        #expect(HostAddress(text)?.description == text)
    }

    @Test(arguments: ["", "gateway", ":1", "gateway:", "gateway:x", "gateway:65536", "::1:9", "[]:1"])
    func nothingElseIs(text: String) {
        #expect(HostAddress(text) == nil)
    }
}
