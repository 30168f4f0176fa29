import LinkRelay
import Testing

@Suite struct RelayAddressTests {
    @Test(
        arguments: [
            ("tcp:a:1", "a", 1), ("tcp:10.0.0.1:32223", "10.0.0.1", 32_223), ("tcp:[fd00::1]:7", "fd00::1", 7),
        ] as [(String, String, UInt16)])
    func anAddress(text: String, host: String, port: UInt16) {
        let address = RelayAddress(text)
        #expect(address?.host == host && address?.port == port)
        #expect(address?.description == text)
    }

    @Test(arguments: ["", "tcp:", "tcp:a", "tcp::1", "tcp:a:0", "tcp:a:65536", "unix:/x", "a:1", "tcp:[]:1"])
    func noAddress(text: String) {
        #expect(RelayAddress(text) == nil)
    }

    @Test func aList() {
        #expect(RelayAddress.list("tcp:a:1,tcp:b:2")?.map(\.description) == ["tcp:a:1", "tcp:b:2"])
        #expect(RelayAddress.list("tcp:a:1,b:2") == nil)
    }
}
