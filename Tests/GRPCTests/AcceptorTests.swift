import GRPC
import Glibc
import Platform
import Synchronization
import Testing

@Suite struct AcceptorTests {
    /// A plain connection to the server.
    private func connect(_ port: UInt16) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(result == 0)
        return descriptor
    }

    /// Waits for the end of a connection; true when the server closed it without sending anything.
    private func isClosedByServer(_ descriptor: Int32) -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        close(descriptor)
        return count <= 0
    }

    @Test func garbageIsClosedAndOthersAreServed() async throws {
        let running = try RunningServer()
        try await running.run(serve: { _ in .ok }) {
            // TLS, a lower-case letter, and HTTP/1.1, which this server does not speak.
            for words in ["\u{16}\u{3}\u{1}", "get / http", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.1"] {
                let stranger = connect(running.acceptor.port)
                #expect(send(stranger, words, words.utf8.count, 0) == words.utf8.count)
                #expect(isClosedByServer(stranger))
            }
            let channel = Channel(target: running.target)
            let reply = try await channel.unary(RunningServer.echo, [1])
            #expect(reply == [1])
            channel.close()
        }
    }

    @Test func theFirstBytesTellTheProtocol() async throws {
        let seen = Mutex<[ConnectionProtocol]>([])
        let acceptor = try Acceptor(ListeningSocket(host: "127.0.0.1", port: 0))
        acceptor.start(limits: AcceptorLimits(descriptorMax: 4096), connections: Connections()) { descriptor, spoken in
            seen.withLock { $0.append(spoken) }
            close(descriptor)
        }
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for (words, spoken) in [
            ("G", ConnectionProtocol.http1), ("POST /", .http1), ("PR0", .http1), ("PRI * HTTP/1.1", .http1),
            (preface, .http2), (preface + "more", .http2), ("Z", .http1),
        ] {
            let client = connect(acceptor.port)
            #expect(send(client, words, words.utf8.count, 0) == words.utf8.count)
            #expect(isClosedByServer(client))
            #expect(seen.withLock { $0.last } == spoken, "\(words)")
        }
        // Byte by byte.
        let client = connect(acceptor.port)
        for byte in preface.utf8 {
            var byte = byte
            #expect(send(client, &byte, 1, 0) == 1)
        }
        #expect(isClosedByServer(client))
        #expect(seen.withLock { $0.last } == .http2)
        acceptor.stop()
    }

    @Test func silenceIsClosedAfterItsTime() async throws {
        let running = try RunningServer(
            limits: AcceptorLimits(prefaceTimeout: .milliseconds(50), descriptorMax: 4096))
        try await running.run(serve: { _ in .ok }) {
            #expect(isClosedByServer(connect(running.acceptor.port)))
        }
    }

    @Test func manySilentOnesDoNotKeepOthersOut() async throws {
        let running = try RunningServer(limits: AcceptorLimits(pendingMax: 4, descriptorMax: 4096))
        try await running.run(serve: { _ in .ok }) {
            let strangers = (0..<20).map { _ in connect(running.acceptor.port) }
            let channel = Channel(target: running.target)
            let reply = try await channel.unary(RunningServer.echo, [1])
            #expect(reply == [1])
            channel.close()
            for stranger in strangers { close(stranger) }
        }
    }

    @Test func anAddressInUseSaysSo() throws {
        let first = try ListeningSocket(host: "127.0.0.1", port: 0)
        let port = first.port
        #expect(throws: ListenError.self) { _ = try ListeningSocket(host: "127.0.0.1", port: port) }
        let isLoopback = first.isLoopback
        #expect(isLoopback)
    }
}
