import CLinux
import CPython
import Glibc

/// The watcher's end of the link. It never raises SIGPIPE, and releases the GIL while it waits.
struct LinkSocket {
    /// A high number, which the handler's own descriptors hardly reach.
    let descriptor: Int32

    /// Descriptors that a careless handler must not close get numbers from here on, if the limit allows that.
    private static let lowestDescriptor: Int32 = 900
    private static let bufferBytes: Int32 = 1 << 20

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Takes over a connection over TCP.
    init(remote plain: Int32) {
        descriptor = Self.moveUp(plain)
        dcf_tcp_set_keepalive(descriptor)
    }

    /// Takes over a connection that this process was started with.
    init(inherited plain: Int32) {
        descriptor = Self.moveUp(plain)
    }

    /// Dials the gateway's unix socket.
    init(path: String) throws(WatcherError) {
        let plain = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard plain >= 0 else { throw .unreachable("no socket: \(Self.reason())") }
        descriptor = Self.moveUp(plain)
        for option in [SO_SNDBUF, SO_RCVBUF] {
            var size = Self.bufferBytes
            setsockopt(descriptor, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        try connect(to: path)
    }

    private func connect(to path: String) throws(WatcherError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let isTooLong = withUnsafeMutableBytes(of: &address.sun_path) { target in
            guard bytes.count < target.count else { return true }
            target.copyBytes(from: bytes)
            return false
        }
        if isTooLong { throw .unreachable("the gateway's socket \(path) has a path of more than 107 bytes") }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw .unreachable("the gateway's socket \(path): \(Self.reason())") }
    }

    /// Writes both buffers whole, in order.
    func send(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) throws(WatcherError) {
        var sent = 0
        let total = first.count + second.count
        while sent < total {
            let count = sendNow(first, second, skipping: sent)
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                waitUntilWritable()
            } else if errno != EINTR {
                throw Self.failure(errno)
            }
        }
    }

    /// Writes as much as the socket takes without waiting.
    ///
    /// - Returns: the number of bytes written; -1 with errno set if none were.
    func sendNow(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, skipping sent: Int = 0
    ) -> Int {
        let isInFirst = sent < first.count
        let skippedOfSecond = isInFirst ? 0 : sent - first.count
        var parts = (
            iovec(
                iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress.map { isInFirst ? $0 + sent : $0 }),
                iov_len: isInFirst ? first.count - sent : 0),
            iovec(
                iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress.map { $0 + skippedOfSecond }),
                iov_len: second.count - skippedOfSecond)
        )
        return withUnsafeMutableBytes(of: &parts) { raw in
            var message = msghdr()
            message.msg_iov = raw.baseAddress?.assumingMemoryBound(to: iovec.self)
            message.msg_iovlen = second.isEmpty ? 1 : 2
            return sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
    }

    private func waitUntilWritable() {
        let thread = PyEval_SaveThread()
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&entry, 1, -1)
        PyEval_RestoreThread(thread)
    }

    /// Receives the bytes that are there now; nil when there are none.
    func receiveNow(into target: UnsafeMutableRawBufferPointer) throws(WatcherError) -> Int? {
        while true {
            let count = recv(descriptor, target.baseAddress, target.count, Int32(MSG_DONTWAIT))
            if count > 0 { return count }
            if count == 0 { throw .ended }
            switch errno {
            case EAGAIN: return nil
            case EINTR: continue
            default: throw Self.failure(errno)
            }
        }
    }

    /// Waits for bytes with the GIL released. Python's signal handlers run meanwhile; an exception of theirs is thrown.
    ///
    /// - Parameter isBetweenCalls: whether a drain ends the wait. A signal handler can begin a drain.
    func receive(
        into target: UnsafeMutableRawBufferPointer, isBetweenCalls: Bool = false
    ) throws(WatcherError) -> Int {
        while true {
            guard PyErr_CheckSignals() == 0 else { throw .python }
            if isBetweenCalls && dcf_atomic_load(&WatcherState.isDraining) != 0 { throw .ended }
            let thread = PyEval_SaveThread()
            let count = recv(descriptor, target.baseAddress, target.count, 0)
            let code = errno
            PyEval_RestoreThread(thread)
            if count > 0 { return count }
            if count == 0 { throw .ended }
            if code != EINTR { throw Self.failure(code) }
        }
    }

    /// Moves a descriptor to a high number, closed by exec. Returns the old number if there is no room.
    static func moveUp(_ descriptor: Int32) -> Int32 {
        let moved = copyUp(descriptor)
        if moved < 0 { return descriptor }
        close(descriptor)
        return moved
    }

    /// Copies a descriptor to a high number, closed by exec; -1 if there is no room.
    static func copyUp(_ descriptor: Int32) -> Int32 {
        let moved = dcf_dup_from(descriptor, lowestDescriptor)
        return moved >= 0 ? moved : dcf_dup_from(descriptor, lowestDescriptor / 9)
    }

    /// The error for an errno of a read or a write.
    static func failure(_ code: Int32) -> WatcherError {
        switch code {
        // With the last three, the network to the gateway's machine is cut.
        case EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH: .ended
        case EBADF, ENOTSOCK: .link("the handler closed the descriptor of the link to the gateway")
        default: .link("the link to the gateway failed: \(reason(code))")
        }
    }

    private static func reason(_ code: Int32 = errno) -> String {
        String(cString: strerror(code))
    }
}
