internal import CLinux
internal import Glibc
internal import Locks

/// Accepts connections for a ``Server``, on a thread of its own.
///
/// The core's own listener is not used: it goes silent for good after one EMFILE (CVE-2023-4785), and waits for ever for
/// a peer that says nothing. Here a connection reaches the core only after it has sent the 24 bytes that begin HTTP/2
/// (RFC 9113, 3.4), within a time limit, and the number of descriptors is bounded.
package final class Acceptor: Sendable {
    private let socket: Lock<ListeningSocket?>
    private let stopping: Int32
    private let thread: Lock<Thread?>

    package let port: UInt16
    package let isLoopback: Bool

    /// - Parameter socket: listens already; taken over.
    package init(_ socket: consuming ListeningSocket) {
        port = socket.port
        isLoopback = socket.isLoopback
        self.socket = Lock(socket)
        stopping = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        thread = Lock(nil)
    }

    deinit {
        close(stopping)
    }

    /// Begins to accept, handing each good connection to `adopt`.
    ///
    /// - Parameter connections: those that it accepts, and what they may do.
    package func start(
        limits: AcceptorLimits, connections: Connections, adopt: @escaping @Sendable (Int32) -> Void
    ) {
        guard let listener = socket.withLock({ $0?.descriptor }) else { return }
        let stopping = stopping
        thread.withLock { thread in
            thread = Thread(name: "acceptor") {
                let loop = AcceptLoop(
                    listener: listener, stopping: stopping, limits: limits, connections: connections, adopt: adopt)
                loop?.run()
            }
        }
    }

    /// Lets the connections that are being made come in, and no others.
    ///
    /// A socket that is closed resets each connection that the kernel has made and nobody has accepted. So who closes a
    /// listener without a loss calls this, waits for a round trip, and then calls ``stop()``.
    package func finishAccepting() {
        socket.withLock { socket in
            if let descriptor = socket?.descriptor { _ = dcf_ignore_connection_requests(descriptor) }
        }
    }

    /// Accepts no more, closes the listener and what has not sent its preface, and waits for the thread.
    package func stop() {
        eventfd_write(stopping, 1)
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
        // A client that comes now is refused by the kernel at once, and can go elsewhere.
        socket.withLock { $0 = nil }
    }
}
