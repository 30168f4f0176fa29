import Calls
import GRPC
@testable import GatewayGRPC
import GatewayProtocol
import Platform
import SwiftProtobuf
import TestSupport
import Testing

@Suite struct InvokesTests {
    private func next(_ call: ClientCall) async throws -> Pb_Messages? {
        guard let bytes = try await call.receive() else { return nil }
        return try Pb_Messages(serializedBytes: bytes)
    }

    @Test func piecesComeInOrderAndEndWithAMarkOfTheirOwn() async throws {
        let test = try InvokeTest()
        try await test.run(["gen"]) { handlers in
            let call = try test.channel.call(GatewayMethod.invokes.path)
            try await call.send(try InvokeTest.request("gen", "pieces 3 5"))
            for _ in 0..<3 {
                let piece = try await next(call)
                #expect(piece?.output == .init("ppppp".utf8) && piece?.last == false && piece?.request == 0)
            }
            let end = try await next(call)
            #expect(end?.output.isEmpty == true && end?.last == true && end?.request == 0)
            try await call.send(try InvokeTest.request("gen", "echo plain"))
            let reply = try await next(call)
            #expect(reply?.output == .init("plain".utf8) && reply?.last == true && reply?.request == 1)
            try await call.closeSend()
            #expect(try await next(call) == nil)
            #expect(await call.status().code == .ok)
            #expect(handlers["gen"]?.now.hadFlag == [true, true])
        }
    }

    @Test func aReplyInPiecesCanBeLargeAndFast() async throws {
        let test = try InvokeTest()
        try await test.run(["gen"]) { handlers in
            let call = try test.channel.call(GatewayMethod.invokes.path)
            try await call.send(try InvokeTest.request("gen", "pieces 20000 1024"))
            try await call.closeSend()
            var (pieces, bytes) = (0, 0)
            while let message = try await next(call) {
                pieces += message.last ? 0 : 1
                bytes += message.output.count
            }
            #expect(pieces == 20_000 && bytes == 20_000 * 1024)
            // These pieces are read into their own memory.
            let large = try test.channel.call(GatewayMethod.invokes.path)
            try await large.send(try InvokeTest.request("gen", "pieces 20 300000"))
            try await large.closeSend()
            bytes = 0
            while let message = try await next(large) { bytes += message.output.count }
            #expect(bytes == 20 * 300_000)
            // All credit was given back except the last, incomplete chunks.
            let handler = try #require(handlers["gen"])
            await handler.wait { $0.sentBytes - $0.creditedBytes < 2 * 64 << 10 }
        }
    }

    @Test func aReaderWhoStopsStopsTheHandlerAndOneWhoLeavesEndsIt() async throws {
        let test = try InvokeTest()
        try await test.run(["gen"]) { handlers in
            let handler = try #require(handlers["gen"])
            let call = try test.channel.call(GatewayMethod.invokes.path)
            try await call.send(try InvokeTest.request("gen", "pieces 1000000 1024"))
            let first = try await next(call)
            #expect(first?.output.count == 1024)
            // The handler has sent no more than the client's window, the core's buffer and the credit hold.
            let seen = await handler.wait { $0.waits > 0 && $0.sentBytes - $0.creditedBytes >= 192 << 10 }
            #expect(seen.sentBytes < 8 << 20)
            #expect(seen.sentBytes - seen.creditedBytes <= (256 << 10) + 1024)
            call.cancel()
            await handler.wait { $0.cancelled == ["pieces"] }
            // The place is free again.
            let reply = try await test.invoke("gen", "echo next")
            #expect(reply.output == "next")
            // The gate is left a moment after the reply.
            await waitUntil { test.gate.count == 0 }
        }
    }

    @Test func anErrorAfterPiecesComesAfterThem() async throws {
        let test = try InvokeTest()
        try await test.run(["gen"]) { handlers in
            let call = try test.channel.call(GatewayMethod.invokes.path, metadata: ["x-request-id": "mine"])
            try await call.send(try InvokeTest.request("gen", "breaks 100"))
            // The stream may have ended already.
            try? await call.send(try InvokeTest.request("gen", "echo never"))
            var pieces = 0
            let status = await #expect(throws: Status.self) {
                while let message = try await next(call) { pieces += message.output.count }
            }
            #expect(pieces == 100)
            #expect(status?.code == .notFound && status?.message == "broke")
            #expect(status?.metadata["dcf-executed"] == "yes")
            #expect(status?.metadata["x-why"] == "test")
            #expect(status?.metadata["x-request-id"] == "mine")
            #expect(handlers["gen"]?.now.inputs == ["breaks 100"])
        }
    }

    @Test func aDrainEndsStreamsAfterTheRequestThatTheyAreAt() async throws {
        let test = try InvokeTest()
        try await test.run(["gen"]) { handlers in
            let idle = try test.channel.call(GatewayMethod.invokes.path)
            try await idle.send(try InvokeTest.request("gen", "echo a"))
            #expect(try await next(idle)?.last == true)
            let busy = try test.channel.call(GatewayMethod.invokes.path)
            try await busy.send(try InvokeTest.request("gen", "pieces 30000 1024"))
            try await busy.send(try InvokeTest.request("gen", "echo never"))
            #expect(try await next(busy)?.last == false)
            test.gate.close()
            test.invokes.drain()
            #expect(await idle.status().code == .unavailable)
            var hasEnded = false
            let status = await #expect(throws: Status.self) {
                while let message = try await next(busy) { hasEnded = message.last }
            }
            #expect(hasEnded)
            #expect(status?.code == .unavailable && status?.metadata["dcf-executed"] == "no")
            let late = try test.channel.call(GatewayMethod.invokes.path)
            #expect(await late.status().code == .unavailable)
            #expect(handlers["gen"]?.now.inputs == ["echo a", "pieces 30000 1024"])
            // The request that was read ahead is refused as any other call is.
            #expect(test.outcomes.map(\.code) == [.ok, .ok, .unavailable])
            #expect(test.outcomes.map(\.function) == ["gen", "gen", "gen"])
            // The caller may know before the call has left.
            await waitUntil { test.gate.count == 0 }
        }
    }

    @Test func aTimeoutEndsAStreamThatGoesOnTooLong() async throws {
        let test = try InvokeTest()
        try await test.run(["gen"], timeout: .milliseconds(100)) { handlers in
            let call = try test.channel.call(GatewayMethod.invokes.path)
            try await call.send(try InvokeTest.request("gen", "wait"))
            let status = await call.status()
            #expect(status.code == .deadlineExceeded && status.metadata["dcf-executed"] == "maybe")
            let handler = try #require(handlers["gen"])
            await handler.wait { $0.cancelled == ["wait"] }
        }
    }

    @Test func requestsThatAreNoneEndTheStream() async throws {
        let test = try InvokeTest()
        try await test.run(["gen"]) { _ in
            let malformed = try test.channel.call(GatewayMethod.invokes.path)
            try await malformed.send([0x0A, 0xFF])
            #expect(await malformed.status().code == .invalidArgument)
            let unknown = try test.channel.call(GatewayMethod.invokes.path)
            try await unknown.send(try InvokeTest.request("nobody", ""))
            #expect(await unknown.status().code == .notFound)
            // The caller may know before the call has left.
            await waitUntil { test.gate.count == 0 }
        }
    }
}
