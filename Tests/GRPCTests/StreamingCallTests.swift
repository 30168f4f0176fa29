import GRPC
import Platform
import TestSupport
import Synchronization
import Testing

@Suite struct StreamingCallTests {
    /// Sends thousands of messages, as many thousands as the first byte of the request says. It sends each as soon as
    /// the core has taken the one before.
    private final class Sender: StreamingCallHandler {
        private let call: StreamingCall
        private let left = Atomic<Int>(0)
        private let record: Record

        init(_ call: StreamingCall, _ record: Record) {
            self.call = call
            self.record = record
        }

        func begin() { call.receive() }

        func received(_ message: consuming ByteBuffer?) {
            guard let message else { return call.finish(.ok) }
            left.store(Int(message.bytes[0]) * 1_000, ordering: .sequentiallyConsistent)
            next()
        }

        private func next() {
            let number = left.subtract(1, ordering: .sequentiallyConsistent).newValue
            guard number >= 0 else {
                call.receive()
                return
            }
            call.send(ByteBuffer(withUnsafeBytes(of: number.littleEndian) { Array($0) }), more: number % 7 != 0)
        }

        func sent(success: Bool) {
            guard success else { return call.finish(Status(.cancelled)) }
            record.sent.add(1, ordering: .relaxed)
            next()
        }

        func closed(cancelled: Bool) { record.ended.settle(cancelled) }
    }

    /// The events of a call. It outlives the call.
    private final class Record: Sendable {
        let sent = Atomic<Int>(0)
        /// Whether it was cancelled.
        let ended = Promised()
    }

    private final class Records: Sendable {
        private let all = Mutex<[Record]>([])

        func add() -> Record {
            let record = Record()
            all.withLock { $0.append(record) }
            return record
        }

        var last: Record? { all.withLock { $0.last } }
    }

    private static let path = "/test.Service/Numbers"

    private func run(_ body: (Channel, Records) async throws -> Void) async throws {
        let queue = CompletionQueue(name: "test", threads: 2)
        let connections = Connections()
        let server = Server(
            configuration: ServerConfiguration(maxReceiveBytes: 1 << 20), queue: queue, connections: connections)
        let acceptor = try Acceptor(ListeningSocket(host: "127.0.0.1", port: 0))
        let records = Records()
        server.registerStreaming(Self.path) { call in Sender(call, records.add()) }
        server.start()
        acceptor.start(limits: AcceptorLimits(descriptorMax: 4096), connections: connections) { server.adopt($0) }
        let channel = Channel(target: "127.0.0.1:\(acceptor.port)")
        try await body(channel, records)
        channel.close()
        acceptor.stop()
        async let ended: Void = server.shutdown()
        server.cancelAllCalls()
        await ended
        queue.shutdown()
    }

    @Test func aHundredThousandMessagesComeInOrder() async throws {
        try await run { channel, records in
            let call = try channel.call(Self.path)
            try await call.send([100])
            for number in (0..<100_000).reversed() {
                let bytes = try await call.receive()
                guard bytes == withUnsafeBytes(of: number.littleEndian, { Array($0) }) else {
                    Issue.record("\(number) came as \(String(describing: bytes))")
                    break
                }
            }
            try await call.closeSend()
            #expect(try await call.receive() == nil)
            #expect(await call.status().code == .ok)
            #expect(await records.last?.ended.value == false)
        }
    }

    @Test func oneWhoLeavesInTheMiddleIsNoticed() async throws {
        try await run { channel, records in
            let call = try channel.call(Self.path)
            try await call.send([100])
            for _ in 0..<10 { _ = try await call.receive() }
            call.cancel()
            #expect(await records.last?.ended.value == true)
            // The server goes on.
            let next = try channel.call(Self.path)
            try await next.send([1])
            try await next.closeSend()
            var count = 0
            while try await next.receive() != nil { count += 1 }
            #expect(count == 1_000)
        }
    }

    @Test func aStreamWithoutMessages() async throws {
        try await run { channel, _ in
            let call = try channel.call(Self.path)
            try await call.closeSend()
            #expect(try await call.receive() == nil)
        }
    }
}
