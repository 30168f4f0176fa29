import Testing

@testable import dcf

@Suite struct GatewayLocationTests {
    @Test(
        arguments: [
            ("flag:1", "config:2", "variable:3", "flag:1", ""),
            (nil, "config:2", "variable:3", "config:2", " (dcf.gateway of c.yaml)"),
            (nil, nil, "variable:3", "variable:3", " (DCF_GATEWAY)"),
            (nil, nil, "", "127.0.0.1:32222", ""),
            (nil, nil, nil, "127.0.0.1:32222", ""),
            ("host", nil, nil, "host:32222", ""),
        ] as [(String?, String?, String?, String, String)])
    func resolves(flag: String?, config: String?, variable: String?, address: String, origin: String) throws {
        let location = try GatewayLocation.resolve(
            flag: flag, config: config, configFile: "c.yaml", environment: variable)
        #expect(location.address == address)
        #expect(location.origin == origin)
    }

    @Test(
        arguments: [
            ("http://a:1", nil, "-g must be HOST:PORT, such as 127.0.0.1:32222, not \"http://a:1\""),
            (nil, "a b", "DCF_GATEWAY must be HOST:PORT, such as 127.0.0.1:32222, not \"a b\""),
        ] as [(String?, String?, String)])
    func refuses(flag: String?, variable: String?, message: String) {
        let error = #expect(throws: CommandFailure.self) {
            try GatewayLocation.resolve(flag: flag, config: nil, configFile: "c", environment: variable)
        }
        #expect(error?.description == message)
    }
}
