import GRPC
import Platform
import TestSupport
import Testing

/// Calls of functions on other machines: over TCP everything works as over a unix socket.
@Suite struct RemoteCallTests {
    @Test func callsAndChains() async throws {
        let test = try InvokeTest()
        try await test.run(["far", "near"], isRemote: true) { _ in
            let small = try await test.invoke("far", "echo hello").output
            #expect(small == "hello")
            let chained = try await test.invoke("far", "call near echo hello").output
            #expect(chained == "hello")
            let text = String(repeating: "x", count: 3 << 20)
            let large = try await test.invoke("far", "echo \(text)").output
            #expect(large == text)
        }
    }

    @Test func theEndOfALinkIsTheEndOfItsCalls() async throws {
        let test = try InvokeTest()
        try await test.run(["far"], isRemote: true) { handlers in
            let far = try #require(handlers["far"])
            async let ended: Void = {
                await far.wait { $0.inputs.contains("wait") }
                await test.endLink(of: far, "its node is lost")
            }()
            let status = await #expect(throws: Status.self) { _ = try await test.invoke("far", "wait") }
            await ended
            #expect(status?.code == .unavailable && status?.metadata["dcf-executed"] == "maybe")
            #expect(status?.message.contains("its node is lost") == true, "\(String(describing: status))")
        }
    }
}
