import FunctionConfig
import Testing

@Suite struct UnitTests {
    @Test(arguments: [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("1.5s", 1_500), ("0s", 0)])
    func readsDurations(_ text: String, _ milliseconds: Int) {
        #expect(Duration(text: text) == .milliseconds(milliseconds))
    }

    @Test(arguments: [
        "", "s", "5", "5d", "-1s", "1e3s", "1 s", "1..2s", ".5s", "5.s", "99999999999999999h", "nans", "infs",
    ])
    func refusesDurations(_ text: String) {
        #expect(Duration(text: text) == nil)
    }

    @Test(arguments: ["500ms", "30s", "5m", "1h", "90s", "1500ms", "0s"])
    func writesDurations(_ text: String) {
        #expect(Duration(text: text)?.text == text)
    }

    @Test(arguments: [
        ("64MiB", "65536k"), ("2G", "2048M"), ("2g", "2048M"), ("2GB", "2048M"), ("2Gi", "2048M"), ("1.5G", "1536M"),
        ("1048576", "1M"), ("512k", "524288"), ("10B", "10"), ("1T", "1024G"), ("0", "0k"),
    ])
    func readsSizes(_ text: String, _ same: String) {
        #expect(ByteSize.bytes(of: text) != nil)
        #expect(ByteSize.bytes(of: text) == ByteSize.bytes(of: same))
    }

    @Test func aSizeIsInBytes() {
        #expect(ByteSize.bytes(of: "64MiB") == 67_108_864)
    }

    @Test(arguments: ["", "G", "iB", "2X", "-1G", "2 G", "1e9", "2GiBB", "2I", "99999999T"])
    func refusesSizes(_ text: String) {
        #expect(ByteSize.bytes(of: text) == nil)
    }

    @Test(arguments: [
        ("0", "0 bytes"), ("1000", "1000 bytes"), ("64M", "64 MiB"), ("1536M", "1.5 GiB"), ("16T", "16 TiB"),
    ])
    func writesSizes(_ text: String, _ expected: String) {
        #expect(ByteSize.bytes(of: text).map(ByteSize.text) == expected)
    }

    @Test(arguments: [
        ("127.0.0.1:32222", "127.0.0.1:32222"), ("localhost", "localhost:32222"), ("[::1]:1", "[::1]:1"),
        ("[::1]", "[::1]:32222"), ("gpu-host.lan:65535", "gpu-host.lan:65535"),
    ])
    func readsAddresses(_ text: String, _ expected: String) {
        #expect(GatewayAddress(text)?.description == expected)
    }

    @Test(arguments: ["", ":1", "a:", "a:0", "a:65536", "a:b", "::1", "[::1", "a b:1", "http://a:1", "a/b"])
    func refusesAddresses(_ text: String) {
        #expect(GatewayAddress(text) == nil)
    }
}
