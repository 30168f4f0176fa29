@testable import GRPC
import Glibc
import Platform
import Testing

@Suite struct HeldWritesTests {
    /// Both ends of a connection over the loopback. The first is watched, as a client's connection is.
    private final class Pair: Sendable {
        let connections = Connections()
        let watched: Int32
        let peer: Int32

        init() throws {
            let listener = try ListeningSocket(host: "127.0.0.1", port: 0)
            let peer = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = listener.port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let connected = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(peer, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            try #require(connected == 0)
            var wait = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&wait, 1, 10_000) == 1)
            let watched = accept(listener.descriptor, nil, nil)
            var yes: Int32 = 1
            // A lost test fails instead of waiting for ever.
            var patience = timeval(tv_sec: 10, tv_usec: 0)
            setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            setsockopt(watched, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
            (self.watched, self.peer) = (watched, peer)
            try #require(connections.open(watched))
        }

        deinit {
            close(watched)
            close(peer)
        }

        /// Writes as the core does.
        func write(_ text: String) {
            var text = text
            text.withUTF8 { bytes in
                var piece = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
                withUnsafeMutablePointer(to: &piece) { piece in
                    var message = msghdr()
                    message.msg_iov = piece
                    message.msg_iovlen = 1
                    #expect(sendmsg(watched, &message, 0) == bytes.count)
                }
            }
        }

        /// Waits for `count` bytes.
        func read(_ count: Int) -> String {
            var bytes = [UInt8](repeating: 0, count: count)
            let got = recv(peer, &bytes, count, Int32(MSG_WAITALL))
            return String(decoding: bytes.prefix(max(got, 0)), as: UTF8.self)
        }

        /// Whether anything has come by now.
        var isAnythingThere: Bool {
            var byte: UInt8 = 0
            return recv(peer, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) > 0
        }
    }

    @Test func writesOfOneThreadLeaveTogether() throws {
        let (first, second) = (try Pair(), try Pair())
        HeldWrites.begin()
        first.write("a")
        second.write("x")
        first.write("b")
        #expect(!first.isAnythingThere)
        #expect(!second.isAnythingThere)
        HeldWrites.end()
        #expect(first.read(2) == "ab")
        #expect(second.read(1) == "x")
        first.write("c")
        #expect(first.read(1) == "c")
    }

    @Test func anotherThreadsWritesDoNotWait() async throws {
        let pair = try Pair()
        HeldWrites.begin()
        let other = Thread(name: "writer") { pair.write("now") }
        other.join()
        #expect(pair.read(3) == "now")
        HeldWrites.end()
    }

    @Test func nothingIsLostOfMoreConnectionsThanAreRemembered() throws {
        let pairs = try (0..<100).map { _ in try Pair() }
        HeldWrites.begin()
        for round in 0..<3 { for pair in pairs { pair.write("\(round)") } }
        HeldWrites.end()
        for pair in pairs { #expect(pair.read(3) == "012") }
    }

    @Test func aConnectionThatWasClosedMeanwhileHarmsNobody() throws {
        HeldWrites.begin()
        var pair: Pair? = try Pair()
        pair?.write("last")
        pair = nil
        let next = try Pair()
        next.write("next")
        HeldWrites.end()
        #expect(next.read(4) == "next")
    }
}
