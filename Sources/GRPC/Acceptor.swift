internal import CLinux
internal import Glibc
internal import Synchronization

/// Accepts connections for a ``Server``, on a thread of its own.
///
/// The core's own listener is not used: it goes silent for good after one EMFILE (CVE-2023-4785), and waits for ever for
/// a peer that says nothing. Here a connection reaches the core only after it has sent the 24 bytes that begin HTTP/2
/// (RFC 9113, 3.4), within a time limit, and the number of descriptors is bounded.
package final class Acceptor: Sendable {
    private let socket: ListeningSocket
    private let stopping: Int32
    private let thread: Mutex<Thread?>

    package var port: UInt16 { socket.port }
    package var isLoopback: Bool { socket.isLoopback }

    /// - Parameter socket: listens already; taken over.
    package init(_ socket: consuming ListeningSocket) {
        self.socket = socket
        stopping = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        thread = Mutex(nil)
    }

    deinit {
        close(stopping)
    }

    /// Begins to accept, handing each good connection to `adopt`.
    package func start(limits: AcceptorLimits, adopt: @escaping @Sendable (Int32) -> Void) {
        let listener = socket.descriptor
        let stopping = stopping
        thread.withLock { thread in
            thread = Thread(name: "acceptor") {
                let loop = AcceptLoop(listener: listener, stopping: stopping, limits: limits, adopt: adopt)
                loop?.run()
            }
        }
    }

    /// Accepts no more, closes what has not sent its preface, and waits for the thread.
    package func stop() {
        eventfd_write(stopping, 1)
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        running?.join()
    }
}
