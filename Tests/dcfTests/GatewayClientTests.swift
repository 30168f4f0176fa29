import GRPC
import Platform
import Testing

@testable import dcf

@Suite struct GatewayClientTests {
    private func client() throws -> GatewayClient {
        GatewayClient(
            try GatewayLocation.resolve(flag: nil, config: nil, configFile: "c", environment: "localhost:9"))
    }

    @Test func saysHowToStartAGateway() throws {
        let status = Status(.unavailable, "failed to connect to all addresses; last error: UNKNOWN")
        #expect(
            try client().failure(status).description
                == "no gateway answers at localhost:9 (DCF_GATEWAY); start one with \"dcf-gateway\", "
                + "or name another with -g HOST:PORT")
    }

    @Test func saysThatTheConnectionWasLost() throws {
        #expect(
            try client().failure(Status(.unavailable, "Socket closed")).description
                == "the connection to the gateway at localhost:9 (DCF_GATEWAY) was lost: Socket closed")
    }

    @Test func aStatusOfTheGatewayItselfIsShown() throws {
        let status = Status(.unavailable, "the gateway is draining", metadata: ["dcf-executed": "no"])
        #expect(try client().failure(status).description == "UNAVAILABLE: the gateway is draining")
        #expect(try client().failure(Status(.unknown, "ValueError: x")).description == "UNKNOWN: ValueError: x")
    }
}
