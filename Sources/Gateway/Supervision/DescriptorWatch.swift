internal import CLinux
internal import Environments
internal import GRPC
internal import Glibc
internal import Locks
internal import SystemPackage

/// Tells, on one thread of its own, when descriptors can be read. The thread starts with the first.
final class DescriptorWatch: Sendable {
    private struct State {
        var handlers: [UInt64: @Sendable () -> Void] = [:]
        var last: UInt64 = 0
        var thread: Thread?
        var isStopped = false
    }

    private let epoll: OwnedDescriptor
    private let wake: OwnedDescriptor
    private let state = Lock(State())

    init() throws(FileError) {
        let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw FileError("make", "epoll", Errno(rawValue: errno)) }
        self.epoll = OwnedDescriptor(owning: epoll)
        let wake = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard wake >= 0 else { throw FileError("make", "eventfd", Errno(rawValue: errno)) }
        self.wake = OwnedDescriptor(owning: wake)
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data(u64: 0))
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) == 0 else {
            throw FileError("watch", "eventfd", Errno(rawValue: errno))
        }
    }

    /// Calls `handler`, on the watch's thread, again and again while the descriptor can be read or has ended.
    ///
    /// - Parameter descriptor: stays open until it is removed.
    /// - Returns: a number for `remove`.
    func add(_ descriptor: CInt, _ handler: @escaping @Sendable () -> Void) throws(FileError) -> UInt64 {
        let (number, failure) = state.withLock { state -> (UInt64, CInt) in
            if state.isStopped { return (0, EBADF) }
            state.last += 1
            var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data(u64: state.last))
            guard epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, descriptor, &event) == 0 else { return (0, errno) }
            state.handlers[state.last] = handler
            if state.thread == nil { state.thread = Thread(name: "templates") { [self] in run() } }
            return (state.last, 0)
        }
        guard failure == 0 else { throw FileError("watch", "a process", Errno(rawValue: failure)) }
        return number
    }

    /// The handler is not called again, though a call may be under way.
    func remove(_ number: UInt64, _ descriptor: CInt) {
        let handler = state.withLock { state in
            let handler = state.handlers.removeValue(forKey: number)
            if handler != nil { epoll_ctl(epoll.rawValue, EPOLL_CTL_DEL, descriptor, nil) }
            return handler
        }
        // Not under the lock: what it holds may end with it.
        withExtendedLifetime(handler) {}
    }

    /// Ends the thread.
    func stop() {
        let thread = state.withLock { state in
            state.isStopped = true
            defer { state.thread = nil }
            return state.thread
        }
        eventfd_write(wake.rawValue, 1)
        thread?.join()
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 16)
        while !state.withLock({ $0.isStopped }) {
            let count = Int(epoll_wait(epoll.rawValue, &events, Int32(events.count), -1))
            for event in events.prefix(max(count, 0)) {
                // Nothing is there for one that was removed a moment ago, and for the wake-up.
                let handler = state.withLock { $0.handlers[event.data.u64] }
                assertNoLockIsHeld()
                handler?()
            }
        }
    }
}
