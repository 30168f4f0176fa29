@testable import GatewayGRPC
import GRPC
import GatewayProtocol
import TestSupport
import Testing

@Suite struct ChainTests {
    @Test func aHandlerCallsAnotherFunctionAsItsCaller() async throws {
        let test = try InvokeTest()
        try await test.run(["a", "b"]) { handlers in
            let reply = try await test.invoke(
                "a", "call b echo deep", metadata: ["x-request-id": "one", "x-own": "outer"], timeout: .seconds(600))
            #expect(reply.output == "deep")
            let (a, b) = (handlers["a"]?.now, handlers["b"]?.now)
            #expect(b?.requestIDs == ["one"])
            #expect(b?.metadata.first?["traceparent"] == a?.metadata.first?["traceparent"])
            // This metadata is the handler's, and not its caller's.
            #expect(b?.metadata.first?["x-of"] == "handler" && b?.metadata.first?["x-own"] == nil)
            // The core's client rounds a timeout up, by at most one hundredth.
            #expect((1...606_000_000).contains(b?.remainingMicros.first ?? 0))
        }
    }

    @Test func aFunctionThatWaitsForItselfIsToldSo() async throws {
        let test = try InvokeTest()
        try await test.run(["a", "b"]) { _ in
            let reply = try await test.invoke("a", "call b call a echo never").output
            #expect(reply.hasPrefix("9 a > b > a: \"a\" can run 1 call at a time"), "\(reply)")
        }
    }

    @Test func aChainHasALimit() async throws {
        let test = try InvokeTest(chainDepth: 3)
        try await test.run(["a", "b", "c", "d"]) { handlers in
            #expect(try await test.invoke("a", "call b call c echo three").output == "three")
            let reply = try await test.invoke("a", "call b call c call d echo four").output
            #expect(reply == "9 functions call one another more than 3 deep (chain-depth): a > b > c > d")
            #expect(handlers["d"]?.now.inputs.isEmpty == true)
        }
    }

    @Test func aCallByNoCallHasItsOwnName() async throws {
        let test = try InvokeTest()
        try await test.run(["a", "b"]) { handlers in
            let reply = try await test.invoke("a", "stray b echo x", metadata: ["x-request-id": "one"])
            #expect(reply.output == "x")
            let b = try #require(handlers["b"])
            #expect(b.now.requestIDs != ["one"])
            #expect(try await test.invoke("a", "stray nobody x").output.hasPrefix("5 function \"nobody\""))
        }
    }

    @Test func whoLeavesLeavesTheWholeChain() async throws {
        let test = try InvokeTest()
        try await test.run(["a", "b"]) { handlers in
            let call = try test.channel.call(GatewayMethod.invokeBytes.path)
            try await call.send(try InvokeTest.request("a", "call b wait"))
            try await call.closeSend()
            let b = try #require(handlers["b"])
            await b.wait { $0.inputs == ["wait"] }
            call.cancel()
            await b.wait { $0.cancelled == ["wait"] }
            #expect(try await test.invoke("a", "call b echo free").output == "free")
        }
    }

    @Test func theEndOfALinkEndsWhatItCalled() async throws {
        let test = try InvokeTest()
        try await test.run(["a", "b"]) { handlers in
            let call = try test.channel.call(GatewayMethod.invokeBytes.path)
            try await call.send(try InvokeTest.request("a", "call b wait"))
            try await call.closeSend()
            let (a, b) = (try #require(handlers["a"]), try #require(handlers["b"]))
            await b.wait { $0.inputs == ["wait"] }
            a.breakLink()
            await b.wait { $0.cancelled == ["wait"] }
            call.cancel()
        }
    }
}
