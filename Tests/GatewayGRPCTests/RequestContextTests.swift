@testable import Calls
import GRPC
@testable import GatewayGRPC
import GatewayProtocol
import Platform
import TestSupport
import Testing

@Suite struct RequestContextTests {
    private static let traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @Test func namesThatTheCallerGaveAreKeptAndComeBack() async throws {
        let test = try InvokeTest()
        try await test.run(["f"]) { handlers in
            let reply = try await test.invoke(
                "f", "echo hi",
                metadata: [
                    "x-request-id": "my-id", "traceparent": Self.traceParent, "x-own": "1", "dcf-key": "k",
                    "dcf-other": "2",
                ])
            #expect(reply.output == "hi")
            #expect(reply.trailers["x-request-id"] == "my-id")
            #expect(reply.trailers["traceparent"] == Self.traceParent)
            #expect(reply.trailers["x-from"] == "handler")
            let seen = handlers["f"]?.now
            #expect(seen?.requestIDs == ["my-id"])
            #expect(seen?.metadata == [["traceparent": Self.traceParent, "x-own": "1"]])
            #expect(seen?.hadFlag == [false])
        }
    }

    @Test func namesAreMadeWhereTheyAreMissingOrNoGood() async throws {
        let test = try InvokeTest()
        try await test.run(["f"]) { handlers in
            let first = try await test.invoke("f", "echo 1")
            let second = try await test.invoke(
                "f", "echo 2",
                metadata: [
                    "x-request-id": "two words",
                    "traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                ])
            let made = [first, second].compactMap { $0.trailers["traceparent"] }
            #expect(made.count == 2 && made[0] != made[1])
            for value in made {
                #expect(Array(value.utf8).withUnsafeBytes { TraceParent.isGood($0) }, "\(value)")
            }
            #expect(second.trailers["x-request-id"] != "two words")
            let seen = handlers["f"]?.now
            #expect(seen?.metadata.map { $0["traceparent"] } == made)
            #expect(seen?.requestIDs == [first, second].compactMap { $0.trailers["x-request-id"] })
        }
    }

    @Test func failuresNameTheRequestToo() async throws {
        let test = try InvokeTest()
        try await test.run(["f"]) { _ in
            let status = await #expect(throws: Status.self) {
                try await test.invoke("nobody", "", metadata: ["x-request-id": "lost"])
            }
            #expect(status?.code == .notFound)
            #expect(status?.metadata["x-request-id"] == "lost")
            #expect(status?.metadata["traceparent"] != nil)
        }
    }

    @Test func aHandlerCannotSetWhatIsNotItsOwn() async throws {
        let test = try InvokeTest()
        try await test.run(["f"]) { _ in
            let trailers = try await test.invoke("f", "forbidden", metadata: ["x-request-id": "mine"]).trailers
            #expect(trailers["x-good"] == "v")
            #expect(trailers["dcf-executed"] == nil && trailers["X-Upper"] == nil)
            #expect(trailers.pairs.filter { $0.key == "x-request-id" }.map(\.value) == ["mine"])
        }
    }

    @Test func metadataAboveTheLimitIsRefused() async throws {
        let test = try InvokeTest()
        try await test.run(["f"]) { handlers in
            let status = await #expect(throws: Status.self) {
                try await test.invoke("f", "echo 1", metadata: ["x-large": String(repeating: "a", count: 9_000)])
            }
            #expect(status?.code == .resourceExhausted)
            let long = String(repeating: "a", count: 7_000)
            let reply = try await test.invoke("f", "echo 2", metadata: ["x-own": long])
            #expect(reply.output == "2")
            #expect(handlers["f"]?.now.inputs == ["echo 2"])
        }
    }
}
