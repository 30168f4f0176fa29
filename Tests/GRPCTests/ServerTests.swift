import GRPC
import Platform
import Testing

@Suite struct ServerTests {
    @Sendable private static func unimplemented(_ call: ServerCall) async -> Status {
        Status(.unimplemented, "no \(call.method)", metadata: ["x-why": "test"])
    }

    @Test func aUnaryCallComesBack() async throws {
        let running = try RunningServer()
        try await running.run(serve: Self.unimplemented) {
            let channel = Channel(target: running.target)
            for size in [0, 1, 40, 100_000] {
                let sent = [UInt8](repeating: 7, count: size)
                let reply = try await channel.unary(RunningServer.echo, sent)
                #expect(reply == sent)
            }
            channel.close()
        }
    }

    @Test func aThousandAtATime() async throws {
        let running = try RunningServer()
        try await running.run(serve: Self.unimplemented) {
            let channel = Channel(target: running.target)
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<1000 {
                    let sent = Array("call \(number)".utf8)
                    group.addTask { try await channel.unary(RunningServer.echo, sent) == sent }
                }
                for try await isSame in group { #expect(isSame) }
            }
            channel.close()
        }
    }

    @Test func anUnknownMethodHasItsStatusAndTrailers() async throws {
        let running = try RunningServer()
        try await running.run(serve: Self.unimplemented) {
            let channel = Channel(target: running.target)
            do {
                _ = try await channel.unary("/test.Service/Nothing", [1])
                Issue.record("it should have failed")
            } catch let status as Status {
                #expect(status.code == .unimplemented)
                #expect(status.message == "no /test.Service/Nothing")
                #expect(status.metadata["x-why"] == "test")
            }
            channel.close()
        }
    }

    @Test func messagesGoBothWaysAndMetadataArrives() async throws {
        let running = try RunningServer()
        try await running.run { call in
            guard call.metadata["x-name"] == "value" else { return Status(.invalidArgument, "no metadata") }
            do {
                while let message = try await call.receive() { try await call.send(message.reversed()) }
            } catch { return error as? Status ?? Status(.internal, "\(error)") }
            return .ok
        } _: {
            let channel = Channel(target: running.target)
            let call = try channel.call("/test.Service/Stream", metadata: ["x-name": "value"])
            for number in UInt8(0)..<50 {
                try await call.send([number, 1, 2])
                let received = try await call.receive()
                #expect(received == [2, 1, number])
            }
            try await call.closeSend()
            let received = try await call.receive()
            #expect(received == nil)
            channel.close()
        }
    }

    @Test func aServerSeesThatItsClientHasLeft() async throws {
        let running = try RunningServer()
        try await running.run { call in
            await call.closed()
            return Status(.cancelled)
        } _: {
            let channel = Channel(target: running.target)
            let call = try channel.call("/test.Service/Wait")
            try await call.send([1])
            call.cancel()
            #expect(await call.status().code == .cancelled)
            channel.close()
        }
    }

    @Test func aDeadlineEndsACall() async throws {
        let running = try RunningServer()
        try await running.run { call in
            await call.closed()
            return .ok
        } _: {
            let channel = Channel(target: running.target)
            do {
                _ = try await channel.unary("/test.Service/Wait", [], timeout: .milliseconds(50))
                Issue.record("it should have failed")
            } catch let status as Status {
                #expect(status.code == .deadlineExceeded)
            }
            channel.close()
        }
    }

    @Test func aMessageAboveTheLimitIsRefused() async throws {
        let running = try RunningServer(maxReceiveBytes: 1000)
        try await running.run(serve: Self.unimplemented) {
            let channel = Channel(target: running.target)
            await #expect(throws: Status.self) {
                try await channel.unary(RunningServer.echo, [UInt8](repeating: 0, count: 2000))
            }
            let reply = try await channel.unary(RunningServer.echo, [1])
            #expect(reply == [1])
            channel.close()
        }
    }
}
